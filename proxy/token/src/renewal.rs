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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_is_renewed_after_three_fifths_and_by_two_thirds(lifetime in 60_i64..100_000_000, uid in ".{0,40}") {
            let iat = 1_790_000_000;
            let moment = renew_at(iat, iat + lifetime, &uid);

            prop_assert!(moment <= iat + lifetime - lifetime / 3);
            prop_assert!(moment >= iat + lifetime * 3 / 5);
            prop_assert_eq!(moment, renew_at(iat, iat + lifetime, &uid));
        }

        #[test]
        fn no_times_panic(iat in any::<i64>(), exp in any::<i64>()) {
            renew_at(iat, exp, "uid");
        }
    }

    #[test]
    fn tokens_made_together_are_not_renewed_together() {
        let moments: BTreeSet<i64> = (0..100).map(|uid| renew_at(0, 2_592_000, &uid.to_string())).collect();

        assert!(moments.len() > 90);
    }
}
