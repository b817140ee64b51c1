//! When a token is made anew.

use aws_lc_rs::digest::{SHA256, digest};

/// The second from which a token issued at `iat` and good until `exp` is renewed: at two thirds of its life, less a
/// part of up to a twentieth that depends on the UID alone, so that tokens made together are not renewed together
/// and a restarted operator comes to the same moment.
pub fn renew_at(iat: i64, exp: i64, uid: &str) -> i64 {
    let lifetime = exp.saturating_sub(iat).max(0);
    let two_thirds = lifetime - lifetime / 3;
    iat.saturating_add(two_thirds).saturating_sub(jitter(lifetime / 20, uid))
}

/// From 0 to `width`, the same for the same UID.
fn jitter(width: i64, uid: &str) -> i64 {
    let spread = digest(&SHA256, uid.as_bytes())
        .as_ref()
        .iter()
        .take(4)
        .fold(0, |sum: i64, byte| sum << 8 | i64::from(*byte));
    i64::try_from(i128::from(spread) * i128::from(width) / i128::from(u32::MAX)).unwrap_or(0)
}
