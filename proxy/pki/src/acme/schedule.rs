//! What is to be done next. Pure: everything is passed in.

use jiff::{SignedDuration, Timestamp};

use super::limiter;
use super::renewal_info;
use super::state::{Held, History};
use crate::names::Names;
use crate::renewal::Lifetime;

/// Below this, a certificate is renewed at half its life and not at two thirds.
const SHORT_LIFE: SignedDuration = SignedDuration::from_hours(10 * 24);
/// How long to wait where nothing is planned.
const NOTHING_PLANNED: SignedDuration = SignedDuration::from_hours(24);

/// What the decision rests on.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The names that are wanted.
    pub names: &'a Names,
    /// The certificate that there is.
    pub certificate: Option<&'a Held>,
    /// An order that was begun and not ended.
    pub order_is_open: bool,
    /// What happened so far.
    pub history: &'a History,
    /// Whether a certificate is replaced before it ends.
    pub auto_renew: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Get a certificate, now.
    Order,
    /// Ask the server when it would like the certificate to be renewed, now.
    AskRenewalInfo,
    /// Nothing before this time.
    Wait(Timestamp),
}

/// Decides.
pub fn next(now: Timestamp, situation: Situation<'_>) -> Next {
    let Situation { names, certificate, order_is_open, history, auto_renew } = situation;
    let good = certificate.filter(|held| held.is_for(names) && held.lifetime.contains(now));
    let ask_at = good.filter(|_| auto_renew).map(|held| ask_at(held, history));
    let due = match good {
        None => Timestamp::MIN,
        Some(_) if !auto_renew => Timestamp::MAX,
        Some(held) => renew_at(held, history),
    };
    let order_at = if order_is_open { Timestamp::MIN } else { due }.max(allowed_at(&situation));
    // The server may have news about a renewal that is due by our own reckoning, so it is asked first.
    match ask_at.map(|ask_at| ask_at.max(held_back_until(history))) {
        Some(ask_at) if ask_at <= now && !order_is_open => Next::AskRenewalInfo,
        _ if order_at <= now && !(order_is_open && due == Timestamp::MAX) => Next::Order,
        ask_at => {
            let planned = order_at.min(ask_at.unwrap_or(Timestamp::MAX));
            Next::Wait(planned.min(now.checked_add(NOTHING_PLANNED).unwrap_or(planned)))
        }
    }
}

/// When the certificate is renewed: in the window that the server suggests, else when a third of its life is left (half of
/// a short one), up to a twentieth of its life earlier.
pub fn renew_at(held: &Held, history: &History) -> Timestamp {
    let window = history.renewal.as_ref().filter(|renewal| renewal.serial == held.serial);
    let window = window.and_then(|renewal| renewal.window);
    let usable = window.and_then(|(start, end)| renewal_info::usable(start, end, &held.lifetime));
    match usable {
        Some(window) => renewal_info::pick(window, held.random),
        None => own_reckoning(&held.lifetime, held.random),
    }
}

fn own_reckoning(lifetime: &Lifetime, random: u16) -> Timestamp {
    let length = lifetime.not_after.duration_since(lifetime.not_before);
    let due = if length < SHORT_LIFE { lifetime.at(1, 2) } else { lifetime.at(2, 3) };
    let early = (length / 20).as_millis() * i128::from(random) / i128::from(u16::MAX);
    let early = SignedDuration::from_millis(i64::try_from(early).unwrap_or(0));
    due.checked_sub(early).unwrap_or(due)
}

/// When the server is asked about this certificate; at once if it never was.
fn ask_at(held: &Held, history: &History) -> Timestamp {
    let asked = history.renewal.as_ref().filter(|renewal| renewal.serial == held.serial);
    asked.map_or(Timestamp::MIN, |renewal| renewal.ask_at)
}

/// When an order may be made or go on, whatever is due.
fn allowed_at(situation: &Situation<'_>) -> Timestamp {
    let Situation { names, certificate, order_is_open, history, .. } = situation;
    let texts: Vec<_> = names.iter().map(ToString::to_string).collect();
    let authorization = limiter::authorization_allowed_at(history, texts.iter().map(String::as_str));
    let mut allowed = held_back_until(history).max(authorization);
    if !order_is_open {
        let lifetime =
            certificate.map(|held| held.lifetime.not_after.duration_since(held.lifetime.not_before));
        allowed = allowed.max(limiter::order_allowed_at(history, lifetime));
    }
    allowed
}

fn held_back_until(history: &History) -> Timestamp {
    history.not_before.unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acme::state::Renewal;

    const HOUR: i64 = 60 * 60;
    const DAY: i64 = 24 * HOUR;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn names() -> Names {
        Names::parse(["a.example"]).expect("names")
    }

    fn held(seconds: i64) -> Held {
        Held {
            lifetime: Lifetime { not_before: at(0), not_after: at(seconds) },
            names: vec!["a.example".to_owned()],
            serial: "01".to_owned(),
            random: 0,
        }
    }

    /// The server was asked about the certificate and has nothing to say.
    fn asked() -> History {
        let renewal = Renewal { serial: "01".to_owned(), window: None, ask_at: Timestamp::MAX };
        History { renewal: Some(renewal), ..History::default() }
    }

    fn decide(now: i64, certificate: Option<&Held>, history: &History) -> Next {
        let names = names();
        let situation =
            Situation { names: &names, certificate, order_is_open: false, history, auto_renew: true };
        next(at(now), situation)
    }

    /// The first second at which there is something to do, found by waiting as long as told.
    fn first_order(certificate: &Held, history: &History) -> i64 {
        let mut now = 0;
        loop {
            match decide(now, Some(certificate), history) {
                Next::Order => return now,
                Next::Wait(until) => {
                    assert!(until > at(now), "a wait that does not wait");
                    now = until.as_second() + i64::from(until.subsec_nanosecond() > 0);
                }
                Next::AskRenewalInfo => panic!("it was asked already"),
            }
        }
    }

    #[test]
    fn without_a_certificate_or_with_one_for_other_names_it_orders() {
        let mut other = held(90 * DAY);
        other.names.push("b.example".to_owned());

        assert_eq!(decide(0, None, &History::default()), Next::Order);
        assert_eq!(decide(1, Some(&other), &History::default()), Next::Order);
    }

    #[test]
    fn h08_each_lifetime_is_renewed_at_its_fraction() {
        for (lifetime, fraction) in
            [(90 * DAY, (2, 3)), (64 * DAY, (2, 3)), (45 * DAY, (2, 3)), (160 * HOUR, (1, 2)), (HOUR, (1, 2))]
        {
            let renewed = first_order(&held(lifetime), &asked());

            assert_eq!(renewed, lifetime / fraction.1 * fraction.0, "{lifetime}");
        }
    }

    #[test]
    fn h08_jitter_brings_a_renewal_forward_by_a_twentieth_at_most() {
        let certificate = Held { random: u16::MAX, ..held(90 * DAY) };

        assert_eq!(first_order(&certificate, &asked()), 60 * DAY - 90 * DAY / 20);
    }

    #[test]
    fn h07_the_servers_window_comes_before_our_own_reckoning() {
        let window = |from, until| {
            let renewal = Renewal {
                serial: "01".to_owned(),
                window: Some((at(from * DAY), at(until * DAY))),
                ask_at: Timestamp::MAX,
            };
            History { renewal: Some(renewal), ..History::default() }
        };

        assert_eq!(first_order(&held(90 * DAY), &window(70, 72)), 70 * DAY);
        assert_eq!(first_order(&held(90 * DAY), &window(-7, -5)), 0);
        assert_eq!(first_order(&held(90 * DAY), &window(72, 70)), 60 * DAY);
        assert_eq!(first_order(&held(90 * DAY), &window(47_000, 47_002)), 60 * DAY);
    }

    #[test]
    fn h07_what_was_said_about_another_certificate_is_not_used() {
        let renewal =
            Renewal { serial: "02".to_owned(), window: Some((at(0), at(1))), ask_at: Timestamp::MAX };
        let history = History { renewal: Some(renewal), ..History::default() };

        assert_eq!(decide(1, Some(&held(90 * DAY)), &history), Next::AskRenewalInfo);
        assert_eq!(renew_at(&held(90 * DAY), &history), at(60 * DAY));
    }

    #[test]
    fn h05_nothing_is_asked_of_the_server_while_it_is_held_back() {
        let history = History { not_before: Some(at(100)), ..History::default() };

        assert_eq!(decide(0, None, &history), Next::Wait(at(100)));
        assert_eq!(decide(100, None, &history), Next::Order);
        assert_eq!(decide(0, Some(&held(90 * DAY)), &history), Next::Wait(at(100)));
    }

    #[test]
    fn h06_names_that_failed_too_often_wait() {
        let failed = [("a.example".to_owned(), (0..5).map(at).collect())];
        let history = History { failed_authorizations: failed.into(), ..History::default() };

        assert_eq!(decide(10, None, &history), Next::Wait(at(HOUR)));
    }

    #[test]
    fn an_open_order_is_resumed_before_a_new_one_is_allowed() {
        let names = names();
        let history = History { orders: (0..10).map(at).collect(), ..History::default() };
        let situation = Situation {
            names: &names,
            certificate: None,
            order_is_open: true,
            history: &history,
            auto_renew: true,
        };

        assert_eq!(next(at(20), situation), Next::Order);
        assert_eq!(next(at(20), Situation { order_is_open: false, ..situation }), Next::Wait(at(3 * HOUR)));
    }

    #[test]
    fn without_auto_renew_a_good_certificate_is_left_alone_and_an_ended_one_is_replaced() {
        let names = names();
        let certificate = held(90 * DAY);
        let situation = Situation {
            names: &names,
            certificate: Some(&certificate),
            order_is_open: false,
            history: &asked(),
            auto_renew: false,
        };

        assert_eq!(next(at(89 * DAY), situation), Next::Wait(at(90 * DAY)));
        assert_eq!(next(at(91 * DAY), situation), Next::Order);
    }
}
