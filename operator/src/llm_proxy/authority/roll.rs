//! Takes the steps of a roll-over that are due, for whatever is rolled over.

use jiff::{SignedDuration, Timestamp};
use vibectl_pki::{AnchorState, CertificateFacts, Step, next_step, overlap_step, rollover::Anchor};

use super::{AuthorityError, CLIENT_REFRESH_FOR_WHAT_IS_ASKED, Trouble, Wanted};
use crate::api::conditions::Reason;

/// A roll-over takes three steps, one that begins anew as many again; more means that it does not come to rest.
const MAX_STEPS: usize = 6;
/// How soon it is looked again whether a step that is held may be taken. What pods tell is looked at in any case.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(15);

/// How the next one comes about.
pub(super) struct Rules<'a, A> {
    /// Makes one, given the one before.
    pub(super) make: &'a dyn Fn(Option<&A>) -> Result<A, AuthorityError>,
    /// The newest is not the one that is wanted, however good it is.
    pub(super) unwanted: &'a dyn Fn(&CertificateFacts) -> bool,
    /// It is replaced in time, and when it does not fit the names.
    pub(super) renews: bool,
}

/// Where it stands after every step that was due.
pub(super) struct Rolled<A> {
    pub(super) state: AnchorState<A>,
    pub(super) due: Option<Timestamp>,
    pub(super) trouble: Option<Trouble>,
}

/// Takes what must not be trusted out, then every step that is due.
pub(super) fn roll<A: Anchor>(
    state: AnchorState<A>,
    wanted: &Wanted<'_>,
    rules: &Rules<'_, A>,
) -> Result<Rolled<A>, AuthorityError> {
    let mut state = without_distrusted(state, wanted, rules)?;
    for _ in 0..MAX_STEPS {
        state = match step(&state, wanted, rules) {
            Step::Wait { until } => return Ok(Rolled { state, due: Some(until), trouble: None }),
            Step::Prepare => {
                let next = (rules.make)(Some(state.active()))?;
                state.prepare(next, wanted.now)
            }
            Step::Switch => state.switch(wanted.now),
            Step::Drop => match held(&state, wanted) {
                Some(trouble) => {
                    let due = wanted.now.checked_add(LOOK_AGAIN).ok();
                    return Ok(Rolled { state, due, trouble: Some(trouble) });
                }
                None => state.drop_previous(),
            },
        };
    }
    Ok(Rolled { state, due: None, trouble: None })
}

fn step<A: Anchor>(state: &AnchorState<A>, wanted: &Wanted<'_>, rules: &Rules<'_, A>) -> Step {
    let Wanted { names, terms, now, .. } = *wanted;
    let unwanted = |anchor: &A| (rules.unwanted)(anchor.facts());
    let asked = !state.active().permits(names) || unwanted(state.active());
    let refresh =
        if asked { terms.client_refresh.min(CLIENT_REFRESH_FOR_WHAT_IS_ASKED) } else { terms.client_refresh };
    let step =
        if rules.renews { next_step(state, names, now, refresh) } else { overlap_step(state, now, refresh) };
    match step {
        Step::Drop => Step::Drop,
        _ if unwanted(state.newest()) => Step::Prepare,
        step => step,
    }
}

/// The old one stays in the bundle while a pod may serve something that only it vouches for, unless it has ended.
fn held<A: Anchor>(state: &AnchorState<A>, wanted: &Wanted<'_>) -> Option<Trouble> {
    let facts = state.previous()?.chain.facts().ok()?;
    let users = (wanted.users)(&facts);
    if users.is_empty() || facts.lifetime.not_after <= wanted.now {
        return None;
    }
    let short: String = facts.fingerprint_sha256.chars().take(16).collect();
    let message = format!("{} (SHA-256 {short}…) stays in the bundle: {}", facts.subject, users.join("; "));
    Some(Trouble { reason: Reason::RolloverHeld, message })
}

/// The one way past the overlap, for a key that has leaked: clients fail until they have read the new bundle.
fn without_distrusted<A: Anchor>(
    mut state: AnchorState<A>,
    wanted: &Wanted<'_>,
    rules: &Rules<'_, A>,
) -> Result<AnchorState<A>, AuthorityError> {
    let Some(distrusted) = wanted.distrusted else { return Ok(state) };
    let is_it = |facts: &CertificateFacts| facts.fingerprint_sha256 == distrusted;
    if state.next().is_some_and(|next| is_it(next.anchor.facts())) {
        state = state.drop_next();
    }
    if is_it(state.active().facts()) {
        if state.next().is_none() {
            let next = (rules.make)(None)?;
            state = state.prepare(next, wanted.now);
        }
        state = state.switch(wanted.now);
    }
    let previous = state.previous().and_then(|previous| previous.chain.facts().ok());
    Ok(if previous.is_some_and(|facts| is_it(&facts)) { state.drop_previous() } else { state })
}
