//! Keys that the original documents for production and never read, so that its documented file starts an open
//! server. Here they mean what they say.

use std::path::PathBuf;

use super::Tls;
use crate::decode::{Cursor, Section};

/// What `server` says for `tls`.
pub(super) struct OriginalKeys<'a> {
    use_tls: Option<(Cursor<'a>, bool)>,
    cert_file: Option<(Cursor<'a>, PathBuf)>,
    key_file: Option<(Cursor<'a>, PathBuf)>,
}

impl<'a> OriginalKeys<'a> {
    pub(super) fn decode(section: &mut Section<'a>) -> Self {
        Self {
            use_tls: retired(section, "use_tls", "deprecated: use tls.enabled", Cursor::boolean),
            cert_file: retired(section, "cert_file", "deprecated: use tls.cert_file", Cursor::path),
            key_file: retired(section, "key_file", "deprecated: use tls.key_file", Cursor::path),
        }
    }

    pub(super) fn put_into(self, tls: &mut Tls) {
        let Self { use_tls, cert_file, key_file } = self;
        put(use_tls, &mut tls.enabled, "tls.enabled");
        put(cert_file, &mut tls.cert_file, "tls.cert_file");
        put(key_file, &mut tls.key_file, "tls.key_file");
    }
}

fn retired<'a, T>(
    section: &mut Section<'a>,
    key: &'static str,
    why: &str,
    read: impl FnOnce(&Cursor<'a>) -> Option<T>,
) -> Option<(Cursor<'a>, T)> {
    section.retired(key, why, |cursor| read(cursor).map(|value| (cursor.clone(), value)))
}

/// Both spellings may stand in one file as long as they say the same.
fn put<T: PartialEq>(original: Option<(Cursor<'_>, T)>, target: &mut Option<T>, today: &str) {
    let Some((cursor, value)) = original else { return };
    if target.as_ref().is_some_and(|said| *said != value) {
        cursor.mistake(format!("contradicts {today}; remove this key"));
    }
    cursor.stands_for(today);
    target.get_or_insert(value);
}
