//! One scalar as written, and what an unquoted one could be taken for.

/// The text of a scalar, and how it stood there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) style: Style,
}

/// How a scalar stood there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Without quotes.
    Plain,
    /// In quotes, or as a block: text, whatever it looks like.
    Quoted,
    /// The value of an environment variable: what it means is up to the key alone.
    Variable,
}

/// What a scalar is, or might be to one YAML reader or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: `null`, `~` or an empty value.
    Null,
    /// `true` or `false`, exactly.
    Boolean(bool),
    /// What some YAML readers take for a boolean: `no`, `On`, `TRUE`.
    AlmostBoolean,
    /// What some YAML readers take for a number: `1`, `012`, `1e3`, `0x1f`, `1_000`, `.inf`.
    Number,
    /// Text, quoted or not to be taken for anything else.
    Text,
}

/// The words that YAML 1.1 takes for a boolean, in lower case.
const BOOLEAN_WORDS: [&str; 6] = ["true", "false", "yes", "no", "on", "off"];

impl Scalar {
    /// What this scalar is.
    pub(crate) fn kind(&self) -> Kind {
        if self.style != Style::Plain {
            return Kind::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
            "true" => Kind::Boolean(true),
            "false" => Kind::Boolean(false),
            text if BOOLEAN_WORDS.iter().any(|word| word.eq_ignore_ascii_case(text)) => Kind::AlmostBoolean,
            text if looks_like_a_number(text) => Kind::Number,
            _ => Kind::Text,
        }
    }
}

fn looks_like_a_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if [".inf", ".nan"].iter().any(|word| word.eq_ignore_ascii_case(unsigned)) {
        return true;
    }
    let radix_of = [("0x", 16), ("0o", 8), ("0b", 2)];
    let prefixed =
        radix_of.iter().find_map(|(prefix, radix)| unsigned.strip_prefix(prefix).zip(Some(*radix)));
    match prefixed {
        Some((digits, radix)) => {
            !digits.is_empty() && digits.chars().all(|digit| digit == '_' || digit.is_digit(radix))
        }
        None => looks_like_a_float(unsigned),
    }
}

/// `12`, `1_000`, `1.`, `.5`, `1.5e-3`.
fn looks_like_a_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    let mut points = 0;
    let mantissa_fits = mantissa.bytes().all(|byte| match byte {
        b'.' => {
            points += 1;
            points == 1
        }
        byte => byte == b'_' || byte.is_ascii_digit(),
    });
    exponent_fits && mantissa_fits && mantissa.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{Kind, Scalar, Style};

    fn kind(text: &str) -> Kind {
        Scalar { text: text.to_owned(), style: Style::Plain }.kind()
    }

    #[test]
    fn what_any_yaml_reader_would_convert_is_no_text() {
        for number in [
            "0", "-1", "+1", "012", "1_000", "0x1F", "0o17", "0b1", "1.", ".5", "1.10", "1e3", "1.5E-3",
            "-.inf", ".NaN",
        ] {
            assert_eq!(kind(number), Kind::Number, "{number}");
        }
        for word in ["yes", "No", "ON", "off", "True", "FALSE"] {
            assert_eq!(kind(word), Kind::AlmostBoolean, "{word}");
        }
        for nothing in ["", "~", "null", "NULL"] {
            assert_eq!(kind(nothing), Kind::Null, "{nothing}");
        }
    }

    #[test]
    fn everything_else_is_text() {
        for text in [
            "1.2.3", "0.0.0.0", "1h", "e3", ".", "-", "_", "0x", "0xg", "y", "n", "nullable", "1e", "é", "0é",
        ] {
            assert_eq!(kind(text), Kind::Text, "{text}");
        }
        assert_eq!(Scalar { text: "no".to_owned(), style: Style::Quoted }.kind(), Kind::Text);
    }
}
