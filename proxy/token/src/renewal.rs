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

/// Whether it is late: five sixths of the life are over, half of what is left after the renewal, and whoever follows the
/// renewal has had the time to.
pub fn is_late(iat: i64, exp: i64, now: i64) -> bool {
    let lifetime = exp.saturating_sub(iat).max(0);
    let late = lifetime.saturating_sub(lifetime / 6).max(lifetime - lifetime / 3 + TIME_TO_FOLLOW);
    now >= iat.saturating_add(late)
}

/// Seconds that a changed Secret takes to reach the pods that mount it, and their programs to read it.
pub const TIME_TO_FOLLOW: i64 = 120;

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
        fn no_times_panic(iat in any::<i64>(), exp in any::<i64>(), now in any::<i64>()) {
            renew_at(iat, exp, "uid");
            is_late(iat, exp, now);
        }
    }

    #[test]
    fn a_token_is_late_after_five_sixths_and_never_before_its_renewal_could_be_followed() {
        let late_from = |lifetime: i64| (0..=lifetime).find(|now| is_late(0, lifetime, *now));

        assert_eq!(late_from(3600), Some(3000));
        assert_eq!(late_from(600), Some(520));
        assert_eq!(late_from(60), None, "over before its renewal has reached everybody");
    }

    #[test]
    fn tokens_made_together_are_not_renewed_together() {
        let moments: BTreeSet<i64> = (0..100).map(|uid| renew_at(0, 2_592_000, &uid.to_string())).collect();

        assert!(moments.len() > 90);
    }
}
