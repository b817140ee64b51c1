//! Serializing a section without what equals its default, so that a rendered file says only what was decided.
//!
//! To show a config with its defaults is the exception; serde hands no such wish down, so the thread does.

use std::cell::Cell;

thread_local! {
    static WITH_DEFAULTS: Cell<bool> = const { Cell::new(false) };
}

/// What `serialize` gives when nothing is left out.
pub(crate) fn with_defaults<T>(serialize: impl FnOnce() -> T) -> T {
    WITH_DEFAULTS.set(true);
    let serialized = serialize();
    WITH_DEFAULTS.set(false);
    serialized
}

pub(crate) fn are_shown() -> bool {
    WITH_DEFAULTS.get()
}

/// Implements `Serialize` for a struct with `Default`: the fields in this order, those equal to the default left out.
///
/// A key that is no field name is given as `field as "key"`. The struct is taken apart without `..`: a new field does not compile until it is listed.
macro_rules! serialize_differences {
    ($section:ident { $($field:ident $(as $key:literal)?),+ $(,)? }) => {
        impl serde::Serialize for $section {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;

                let Self { $($field),+ } = self;
                let default = Self::default();
                let all = $crate::differences::are_shown();
                let mut map = serializer.serialize_map(None)?;
                $(
                    if all || *$field != default.$field {
                        map.serialize_entry(serialized_key!($field $(as $key)?), $field)?;
                    }
                )+
                map.end()
            }
        }
    };
}

macro_rules! serialized_key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident as $key:literal) => {
        $key
    };
}
