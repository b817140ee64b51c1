//! What a single value should be.

use std::{ops::RangeInclusive, path::PathBuf};

use jiff::Timestamp;

use super::{Cursor, base_url};
use crate::{
    document::{Kind, Scalar, Style, Value},
    schema::Rate,
    secret::Secret,
};

/// How much of a wrong value is shown.
const SHOWN: usize = 60;

/// The longest name of a model: what fits into a label or a header with room to spare.
const LONGEST_NAME: usize = 253;

impl Cursor<'_> {
    /// `true` or `false`; what only some readers take for one of them is a mistake.
    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.scalar().map(Scalar::kind) {
            Some(Kind::Boolean(value)) => Some(value),
            Some(Kind::Text) if self.is_of_a_variable() => {
                match self.scalar().map(|scalar| scalar.text.trim()) {
                    Some("true") => Some(true),
                    Some("false") => Some(false),
                    _ => self.unexpected("true or false"),
                }
            }
            Some(Kind::Text) => self.unexpected("true or false without quotes"),
            _ => self.unexpected("true or false"),
        }
    }

    /// A decimal integer, quoted or not. A leading zero is a mistake: it means octal to some and decimal to others.
    pub(crate) fn integer(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let digits = self.scalar().map(|scalar| scalar.text.trim()).unwrap_or_default();
        let decimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let plain = decimal && (digits == "0" || !digits.starts_with('0'));
        match digits.parse().ok().filter(|value| plain && range.contains(value)) {
            Some(value) => Some(value),
            None if decimal && !plain => {
                self.unexpected(&format!("{} without leading zeros", describe(&range)))
            }
            None => self.unexpected(&describe(&range)),
        }
    }

    /// Dollars for a million tokens, in quotes or not: what stands there is read as it is, never as a floating point number.
    pub(crate) fn rate(&self) -> Option<Rate> {
        let parsed = self.scalar().and_then(|scalar| scalar.text.trim().parse().ok());
        parsed.or_else(|| {
            self.unexpected("dollars, such as 2.50 (up to six digits, and up to six after the point)")
        })
    }

    /// An integer that fits a port.
    pub(crate) fn port(&self) -> Option<u16> {
        self.integer(1..=u32::from(u16::MAX)).and_then(|port| u16::try_from(port).ok())
    }

    /// Text that is not empty.
    pub(crate) fn text(&self) -> Option<String> {
        self.text_without_show(true).map(str::to_owned)
    }

    /// The path of a file or a folder.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        self.text().filter(|text| self.fits(!text.contains('\0'), "a path")).map(PathBuf::from)
    }

    /// A moment, with its offset: a day alone would end at another time for everybody.
    pub(crate) fn moment(&self) -> Option<Timestamp> {
        let text = self.text()?;
        let moment = text.parse().ok();
        self.fits(moment.is_some(), "a time such as 2027-01-31T00:00:00Z");
        moment
    }

    /// A secret, which no mistake shows.
    pub(crate) fn secret(&self) -> Option<Secret> {
        self.text_without_show(false).map(Secret::new)
    }

    /// One of a few words, in any case.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.scalar().map(|scalar| scalar.text.as_str()).unwrap_or_default();
        if let Some((_, value)) = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            return Some(*value);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let one_of = if names.len() == 1 { "" } else { "one of " };
        self.unexpected(&format!("{one_of}{}", names.join(", ")))
    }

    /// A host name or an IP address, without port.
    pub(crate) fn host(&self) -> Option<String> {
        let is_host = |text: &str| {
            text.len() <= LONGEST_NAME
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte))
                && (!text.contains(':')
                    || text.split('%').next().is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok()))
        };
        self.text().filter(|text| self.fits(is_host(text), "a host name or an IP address, without port"))
    }

    /// A DNS label: the name of a provider is also the name of a folder.
    pub(crate) fn label(&self) -> Option<String> {
        let is_label = |text: &str| {
            text.len() <= 63
                && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
                && !text.starts_with('-')
                && !text.ends_with('-')
        };
        self.text().filter(|text| self.fits(is_label(text), "up to 63 of a-z, 0-9 and - (not at an end)"))
    }

    /// A list of texts.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.items().iter().map(|item| item.text().unwrap_or_default()).collect()
    }

    /// A list of names of models.
    pub(crate) fn model_names(&self) -> Vec<String> {
        self.items().iter().map(|item| item.model_name().unwrap_or_default()).collect()
    }

    /// The address of a provider. A mistake does not show it: it may hold a key.
    pub(crate) fn base_url(&self) -> Option<String> {
        let text = self.text_without_show(false)?;
        match base_url::check(text) {
            Ok(()) => Some(text.to_owned()),
            Err(problem) => {
                self.mistake(problem);
                None
            }
        }
    }

    /// The name of a model.
    pub(crate) fn model_name(&self) -> Option<String> {
        self.text().filter(|text| self.fits(is_model_name(text), MODEL_NAME))
    }

    /// The name of an environment variable. A mistake does not show it: people put the key itself here.
    pub(crate) fn environment_name(&self) -> Option<String> {
        let name = self.text_without_show(false)?;
        if is_environment_name(name) {
            return Some(name.to_owned());
        }
        self.mistake("expected the name of an environment variable (letters, digits and _)");
        None
    }

    /// Notes that the value is not what was expected, unless it is.
    pub(crate) fn fits(&self, fits: bool, expected: &str) -> bool {
        if !fits {
            self.unexpected::<()>(expected);
        }
        fits
    }

    fn text_without_show(&self, show: bool) -> Option<&str> {
        let scalar = self.scalar();
        match scalar.map(Scalar::kind) {
            Some(Kind::Text) => scalar.map(|scalar| scalar.text.as_str()).filter(|text| {
                let empty = text.is_empty();
                if empty {
                    self.mistake("expected text, found an empty one");
                }
                !empty
            }),
            Some(Kind::Boolean(_) | Kind::AlmostBoolean | Kind::Number) => {
                let found = scalar.filter(|_| show).map_or("a value", |scalar| scalar.text.as_str());
                self.mistake(format!(
                    "expected text, found {found}, which YAML may not take for text; put it in quotes"
                ));
                None
            }
            _ => {
                self.mistake(format!("expected text, found {}", self.kind_found()));
                None
            }
        }
    }

    fn is_of_a_variable(&self) -> bool {
        self.scalar().is_some_and(|scalar| scalar.style == Style::Variable)
    }

    fn scalar(&self) -> Option<&Scalar> {
        match self.value() {
            Some(Value::Scalar(scalar)) => Some(scalar),
            _ => None,
        }
    }

    fn unexpected<T>(&self, expected: &str) -> Option<T> {
        let found = match self.scalar() {
            Some(scalar) if scalar.kind() != Kind::Null => quote(&scalar.text),
            _ => self.kind_found().to_owned(),
        };
        self.mistake(format!("expected {expected}, found {found}"));
        None
    }
}

/// What [`is_model_name`] expects.
pub(crate) const MODEL_NAME: &str = "a model's name: printable ASCII without spaces";

/// Whether a text can be the name of a model.
pub(crate) fn is_model_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a text can be the name of an environment variable.
pub(crate) fn is_environment_name(text: &str) -> bool {
    !text.starts_with(|first: char| first.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn describe(range: &RangeInclusive<u32>) -> String {
    match (*range.start(), *range.end()) {
        (start, u32::MAX) => format!("an integer from {start}"),
        (start, end) => format!("an integer from {start} to {end}"),
    }
}

/// Text in quotes, cut, with nothing unprintable left in it.
fn quote(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}...", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}
