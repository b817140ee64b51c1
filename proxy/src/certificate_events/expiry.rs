//! Warns, ahead of time and again, that the certificate in force or the revocation lists of callers come to their end.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use vibectl_pki::Lifetime;

use super::Event;
use crate::state::Shared;
use crate::tls::TlsState;

/// How often it is looked; looking, not sleeping until then, follows a clock that is set.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How near the end of a lifetime is. A renewal is due when a third is left, so at a quarter something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nearness {
    /// More than a quarter is left.
    Far,
    /// A quarter or less.
    Quarter,
    /// An eighth or less.
    Eighth,
    /// A sixteenth or less.
    Sixteenth,
    /// Nothing.
    Over,
}

/// How near the end is.
pub fn nearness(lifetime: Lifetime, now: Timestamp) -> Nearness {
    let Lifetime { not_before, not_after } = lifetime;
    let left = not_after.duration_since(now);
    let part = |parts: i32| not_after.duration_since(not_before).max(SignedDuration::ZERO) / parts;
    if left < SignedDuration::ZERO {
        Nearness::Over
    } else if left <= part(16) {
        Nearness::Sixteenth
    } else if left <= part(8) {
        Nearness::Eighth
    } else if left <= part(4) {
        Nearness::Quarter
    } else {
        Nearness::Far
    }
}

/// What was said last about one lifetime, so that each warning is given once.
#[derive(Debug)]
struct Watch {
    what: &'static str,
    said: Option<(Timestamp, Nearness)>,
}

impl Watch {
    fn new(what: &'static str) -> Self {
        Self { what, said: None }
    }

    /// The warning that is due.
    fn look(&mut self, lifetime: Lifetime, now: Timestamp) -> Option<(Nearness, Event)> {
        let (end, near) = (lifetime.not_after, nearness(lifetime, now));
        let before = self.said.filter(|(of, _)| *of == end).map_or(Nearness::Far, |(_, said)| said);
        self.said = Some((end, near.max(before)));
        let event = Event::Expiring { what: self.what, not_after: end.to_string() };
        (near > before).then_some((near, event))
    }
}

/// Watches until told to stop.
pub async fn watch(shared: Arc<Shared>, stop: CancellationToken) {
    let (mut certificate, mut lists) = (Watch::new("certificate"), Watch::new("client_crl"));
    loop {
        if let Some(tls) = shared.tls.get() {
            let now = Timestamp::now();
            warn(&shared, certificate.look(tls.facts().lifetime, now));
            warn(&shared, TlsState::lists_lifetime(tls).and_then(|lifetime| lists.look(lifetime, now)));
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

fn warn(shared: &Shared, due: Option<(Nearness, Event)>) {
    let Some((nearness, event)) = due else { return };
    if let Event::Expiring { what, not_after } = &event {
        if nearness == Nearness::Over {
            tracing::error!(what, not_after, "has ended: callers are refused until it is renewed");
        } else {
            tracing::warn!(what, not_after, "comes to its end and was not renewed");
        }
    }
    shared.tell(event);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3600).expect("in range")
    }

    fn lifetime(hours: i64) -> Lifetime {
        Lifetime { not_before: at(0), not_after: at(hours) }
    }

    #[test]
    fn nearness_goes_by_the_share_that_is_left_whatever_the_lifetime() {
        for (hour, expected) in [
            (0, Nearness::Far),
            (74, Nearness::Far),
            (75, Nearness::Quarter),
            (88, Nearness::Eighth),
            (94, Nearness::Sixteenth),
            (100, Nearness::Sixteenth),
            (101, Nearness::Over),
        ] {
            assert_eq!(nearness(lifetime(100), at(hour)), expected, "{hour}");
        }
        assert_eq!(nearness(lifetime(-5), at(0)), Nearness::Over);
    }

    #[test]
    fn each_warning_is_given_once_and_a_renewal_starts_anew() {
        let mut watch = Watch::new("certificate");
        let mut said = |hours, hour| watch.look(lifetime(hours), at(hour)).map(|(nearness, _)| nearness);

        let first: Vec<_> = [10, 75, 76, 90, 120, 130].map(|hour| said(100, hour)).into();
        let renewed: Vec<_> = [130, 160].map(|hour| said(200, hour)).into();

        let due = |nearness| Some(nearness);
        assert_eq!(
            first,
            [None, due(Nearness::Quarter), None, due(Nearness::Eighth), due(Nearness::Over), None]
        );
        assert_eq!(renewed, [None, due(Nearness::Quarter)]);
    }

    #[test]
    fn a_clock_that_is_set_back_repeats_nothing() {
        let mut watch = Watch::new("certificate");
        assert!(watch.look(lifetime(100), at(99)).is_some());

        assert!(watch.look(lifetime(100), at(1)).is_none());
        assert!(watch.look(lifetime(100), at(99)).is_none());
    }
}
