//! The names that a certificate is for: DNS names and IP addresses, checked and in one spelling.

use std::{fmt, net::IpAddr, str::FromStr};

/// The longest list of names that one certificate may carry.
pub const MAX_NAMES: usize = 100;

/// The longest common name of a subject (RFC 5280, appendix A: `ub-common-name`).
const MAX_COMMON_NAME: usize = 64;

/// Why a text is not a name for a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Neither a DNS name nor an IP address.
    #[error("`{0}` is neither a DNS name nor an IP address")]
    Invalid(String),
    /// The list is empty.
    #[error("a certificate needs at least one name")]
    Empty,
    /// The list is longer than [`MAX_NAMES`].
    #[error("{0} names are more than the {MAX_NAMES} that one certificate may carry")]
    TooMany(usize),
}

/// One subject alternative name.
///
/// DNS names are lower case, without a final dot, and may begin with the label `*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// A DNS name.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let host = name.strip_prefix("*.").unwrap_or(&name);
        // A final label of digits only would read as a mistyped IPv4 address.
        let last_is_number =
            host.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        if name.len() > 253 || last_is_number || !host.split('.').all(is_label) {
            return Err(NameError::Invalid(text.chars().take(MAX_NAMES).collect()));
        }
        Ok(Self::Dns(name))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

/// At least one name, in the given order, none twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(Vec<Name>);

impl Names {
    /// Reads each name; the first wrong one is the error.
    pub fn parse<I>(texts: I) -> Result<Self, NameError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let names = texts.into_iter().map(|text| text.as_ref().parse()).collect::<Result<Vec<_>, _>>()?;
        Self::new(names)
    }

    /// Drops repeated names, keeps the order.
    pub fn new(names: impl IntoIterator<Item = Name>) -> Result<Self, NameError> {
        let mut distinct = Vec::new();
        for name in names {
            if !distinct.contains(&name) {
                distinct.push(name);
            }
        }
        match distinct.len() {
            0 => Err(NameError::Empty),
            1..=MAX_NAMES => Ok(Self(distinct)),
            more => Err(NameError::TooMany(more)),
        }
    }

    /// Reads a file of names: one on each line, blank lines and lines that begin with `#` are passed over.
    pub fn from_lines(text: &str) -> Result<Self, NameError> {
        Self::parse(text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')))
    }

    /// The content of a file of names.
    pub fn to_lines(&self) -> String {
        let mut lines: Vec<_> = self.0.iter().map(Name::to_string).collect();
        lines.push(String::new());
        lines.join("\n")
    }

    /// The names in order.
    pub fn iter(&self) -> impl Iterator<Item = &Name> {
        self.0.iter()
    }

    /// The first DNS name that fits into a subject; clients match the alternative names, people read this one.
    pub fn common_name(&self) -> Option<&str> {
        self.0.iter().find_map(|name| match name {
            Name::Dns(name) if name.len() <= MAX_COMMON_NAME => Some(name.as_str()),
            _ => None,
        })
    }
}

/// RFC 1123 label, plus the underscore that service records and some cluster names use.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling_and_keep_their_order() {
        let names = Names::parse(["LLM.Example.org.", "10.0.0.1", "llm.example.org", "::1", "*.example.org"]);

        let spelled: Vec<_> = names.expect("all are names").iter().map(ToString::to_string).collect();

        assert_eq!(spelled, ["llm.example.org", "10.0.0.1", "::1", "*.example.org"]);
    }

    #[test]
    fn what_is_not_a_name_is_refused() {
        for text in [
            "",
            ".",
            "a..b",
            "-a.b",
            "a b",
            "10.0.0.256",
            "*",
            "a.*.b",
            "f\u{f6}\u{f6}.org",
            "http://a",
            "a/b",
            "a:1",
        ] {
            assert!(text.parse::<Name>().is_err(), "{text:?} was taken as a name");
        }
    }

    #[test]
    fn a_list_is_neither_empty_nor_endless() {
        let long = (0..=MAX_NAMES).map(|index| format!("n{index}.example.org"));

        assert_eq!(Names::parse(Vec::<String>::new()), Err(NameError::Empty));
        assert_eq!(Names::parse(long), Err(NameError::TooMany(MAX_NAMES + 1)));
    }

    #[test]
    fn a_file_of_names_can_be_read_back() {
        let names = Names::from_lines("# of team\n\n team.ai.svc \n10.0.0.7\n").expect("names");

        assert_eq!(names.to_lines(), "team.ai.svc\n10.0.0.7\n");
        assert_eq!(Names::from_lines(&names.to_lines()), Ok(names));
        assert!(Names::from_lines("a b").is_err());
    }

    #[test]
    fn a_name_too_long_for_a_subject_is_passed_over() {
        let long = format!("{}.example.org", "a".repeat(60));

        assert_eq!(Names::parse([long.as_str(), "short"]).expect("names").common_name(), Some("short"));
        assert_eq!(Names::parse(["10.0.0.1"]).expect("names").common_name(), None);
    }
}
