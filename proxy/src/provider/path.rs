//! Names as parts of a path.

use std::{borrow::Cow, fmt::Write as _};

/// A name as one segment of a path: everything but RFC 3986's unreserved characters in percent-encoding, so that no name
/// leads to another path, and so that who signs paths and who checks them see the same one.
pub(super) fn segment(name: &str) -> Cow<'_, str> {
    if name.bytes().all(is_unreserved) {
        return Cow::Borrowed(name);
    }
    let mut encoded = String::with_capacity(name.len() + 16);
    for byte in name.bytes() {
        if is_unreserved(byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    Cow::Owned(encoded)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment_whatever_is_in_it() {
        assert_eq!(segment("gpt-4o_x.1~"), "gpt-4o_x.1~");
        assert_eq!(segment("a/../b?c#d:e%2F"), "a%2F..%2Fb%3Fc%23d%3Ae%252F");
        assert_eq!(segment("ä"), "%C3%A4");
    }
}
