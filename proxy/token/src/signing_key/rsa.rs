//! The two numbers of an RSA public key, out of the DER that the library gives (RFC 8017, A.1.1).

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

/// Modulus and exponent, big-endian without leading zeros.
pub(super) fn modulus_and_exponent(public_key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (numbers, _) = element(SEQUENCE, public_key)?;
    let (modulus, rest) = element(INTEGER, numbers)?;
    let (exponent, _) = element(INTEGER, rest)?;
    Some((without_leading_zero(modulus), without_leading_zero(exponent)))
}

/// The content of the first element and what follows it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = der.strip_prefix(&[tag])?.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81 => rest.split_at_checked(1).map(|(bytes, rest)| (big_endian(bytes), rest))?,
        0x82 => rest.split_at_checked(2).map(|(bytes, rest)| (big_endian(bytes), rest))?,
        _ => return None,
    };
    rest.split_at_checked(length)
}

fn big_endian(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

fn without_leading_zero(integer: &[u8]) -> &[u8] {
    integer.strip_prefix(&[0]).unwrap_or(integer)
}
