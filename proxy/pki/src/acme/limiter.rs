//! Our own limits, below those of any public ACME server, so that a fault here never costs somebody a week without a
//! certificate. Pure; what is counted is part of the durable state and survives restarts.
//!
//! Let's Encrypt allows, per account, 5 failed authorizations per name and hour, 300 orders in 3 hours, and 5
//! certificates for the same names in a week.

use jiff::{SignedDuration, Timestamp};

use super::state::History;

/// Failed authorizations of one name within [`HOUR`].
pub const MAX_FAILED_AUTHORIZATIONS: usize = 5;
/// Orders within [`ORDER_WINDOW`].
pub const MAX_ORDERS: usize = 10;
/// Certificates for the same names within [`WEEK`], unless they live shorter than [`SHORT_LIVED`].
pub const MAX_CERTIFICATES: usize = 4;

/// The window of failed authorizations.
pub const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// The window of orders.
pub const ORDER_WINDOW: SignedDuration = SignedDuration::from_hours(3);
/// The window of certificates.
pub const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Servers that issue for less than this expect to be asked often.
const SHORT_LIVED: SignedDuration = SignedDuration::from_hours(10 * 24);

/// When names may be validated again; the distant past when nothing is in the way.
pub fn authorization_allowed_at<'a>(history: &History, names: impl Iterator<Item = &'a str>) -> Timestamp {
    let failed = names.filter_map(|name| history.failed_authorizations.get(name));
    failed.map(|times| free_at(times, MAX_FAILED_AUTHORIZATIONS, HOUR)).max().unwrap_or(Timestamp::MIN)
}

/// When another order may be made. `lifetime` is that of the certificate that there is.
pub fn order_allowed_at(history: &History, lifetime: Option<SignedDuration>) -> Timestamp {
    let orders = free_at(&history.orders, MAX_ORDERS, ORDER_WINDOW);
    let short_lived = lifetime.is_some_and(|lifetime| lifetime < SHORT_LIVED);
    let certificates =
        if short_lived { Timestamp::MIN } else { free_at(&history.issued, MAX_CERTIFICATES, WEEK) };
    orders.max(certificates)
}

/// Forgets what no window reaches back to any more.
pub fn prune(history: &mut History, now: Timestamp) {
    let within = |times: &mut Vec<Timestamp>, window: SignedDuration| {
        times.retain(|time| now.duration_since(*time) < window);
    };
    within(&mut history.orders, ORDER_WINDOW);
    within(&mut history.issued, WEEK);
    history.failed_authorizations.values_mut().for_each(|times| within(times, HOUR));
    history.failed_authorizations.retain(|_, times| !times.is_empty());
}

/// When fewer than `most` of these times are within the window. The times are in order.
fn free_at(times: &[Timestamp], most: usize, window: SignedDuration) -> Timestamp {
    let oldest_that_counts = times.len().checked_sub(most).and_then(|index| times.get(index));
    oldest_that_counts.map_or(Timestamp::MIN, |time| time.checked_add(window).unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).expect("in range")
    }

    #[test]
    fn h06_a_name_that_failed_five_times_in_an_hour_waits_until_the_first_is_an_hour_old() {
        let mut history = History::default();
        let failed = history.failed_authorizations.entry("a.example".to_owned()).or_default();
        failed.extend([0, 10, 20, 30].map(minute));
        assert_eq!(authorization_allowed_at(&history, ["a.example"].into_iter()), Timestamp::MIN);

        history.failed_authorizations.entry("a.example".to_owned()).or_default().push(minute(40));

        assert_eq!(authorization_allowed_at(&history, ["a.example"].into_iter()), minute(60));
        assert_eq!(authorization_allowed_at(&history, ["b.example"].into_iter()), Timestamp::MIN);
    }

    #[test]
    fn h04_orders_are_counted_over_three_hours_and_certificates_over_a_week() {
        let orders = History { orders: (0..10).map(minute).collect(), ..History::default() };
        let issued = History { issued: (0..4).map(minute).collect(), ..History::default() };
        let hours = SignedDuration::from_hours;

        assert_eq!(order_allowed_at(&orders, None), minute(180));
        assert_eq!(order_allowed_at(&issued, Some(hours(90 * 24))), minute(7 * 24 * 60));
        assert_eq!(order_allowed_at(&issued, Some(hours(160))), Timestamp::MIN);
    }

    #[test]
    fn what_is_out_of_every_window_is_forgotten() {
        let mut history =
            History { orders: vec![minute(0), minute(200)], issued: vec![minute(0)], ..History::default() };
        history.failed_authorizations.insert("a.example".to_owned(), vec![minute(0)]);

        prune(&mut history, minute(201));

        assert_eq!((history.orders.len(), history.issued.len()), (1, 1));
        assert!(history.failed_authorizations.is_empty());
    }
}
