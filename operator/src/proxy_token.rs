//! The reconcile of a `ProxyToken`: dereference, validate, decide, apply, report.
//!
//! ```text
//! ProxyToken ─dereference▶ Found ─validate▶ Granted ─rotate▶ Plan ─apply▶ Secret ─report▶ Status
//!             (caches)            (pure)            (pure)        (client)        (pure, one write on difference)
//! ```
//!
//! An issuance is written into the status before the credential exists: whoever wonders about a token finds it there.
//! The row goes into the table through the reconcile of the LlmProxy, and the Secret is written when the ready replicas
//! have it, so that a fresh credential never meets a 401. Each reconcile makes one step and asks to be called again.

use std::{sync::Arc, time::Duration};

use self::{
    dereference::Found,
    report::Story,
    rotate::{Held, Issuance, Plan},
    secret::Credential,
    validate::{Accepted, Verdict},
};
use crate::{
    api::{
        ProxyToken,
        conditions::{ConditionType, is_true},
    },
    context::Context,
    keys::KeysError,
    metrics::Outcome,
    runtime::controller::Done,
};

pub mod apply;
pub mod claims;
pub mod dereference;
pub mod report;
pub mod rotate;
pub mod secret;
pub mod stale;
pub mod validate;

/// How long a new credential waits for the replicas before it is handed out anyway.
const PATIENCE: i64 = 10;
/// Between two looks while something is on its way. The poller tells too; this is for when it cannot.
const SOON: Duration = Duration::from_millis(500);
/// The same for what may never come: pods that cannot be asked, an LlmProxy that is not accepted.
const LATER: Duration = Duration::from_secs(30);

/// Why a ProxyToken could not be reconciled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused, or did not answer.
    #[error("failed to {0}")]
    Api(&'static str, #[source] Box<kube::Error>),
    /// The signing keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A token cannot be signed.
    #[error(transparent)]
    Mint(#[from] vibectl_token::MintError),
    /// The status does not become JSON.
    #[error("failed to write the status as JSON")]
    Json(#[from] serde_json::Error),
    /// The caches were behind: somebody else wrote first. Tried again soon.
    #[error("an object was written by somebody else first")]
    Overtaken,
    /// The object lacks what every object of an API server has.
    #[error("the object has no identity")]
    NoIdentity,
}

/// Brings one ProxyToken a step on.
pub async fn reconcile(token: Arc<ProxyToken>, context: Arc<Context>) -> Result<Done, Error> {
    if token.metadata.deletion_timestamp.is_some() {
        return Ok(Done::unchanged());
    }
    match step(&context, &token).await {
        Err(Error::Overtaken) => Ok(Done::unchanged().again_after(SOON)),
        done => done,
    }
}

async fn step(context: &Context, token: &ProxyToken) -> Result<Done, Error> {
    let found = dereference::dereference(context, token)?;
    match validate::validate(token, &found) {
        Verdict::Granted(accepted) if accepted.issued => issue(context, token, &found, &accepted).await,
        Verdict::Granted(accepted) => recognize(context, token, &found, &accepted).await,
        Verdict::Refused(refused) => report::write(context, token, &found, &Story::refused(refused)).await,
        Verdict::Unreadable => Ok(Done::unchanged()),
    }
}

/// Lets the identity in that is named: its row is all that it needs, and a Secret of earlier times goes.
async fn recognize(
    context: &Context,
    token: &ProxyToken,
    found: &Found,
    accepted: &Accepted,
) -> Result<Done, Error> {
    let removed = apply::remove(context, token).await?;
    let settled = found.recognizes(context, token);
    let story = Story::recognized(token, accepted, settled);
    let mut done = report::write(context, token, found, &story).await?;
    if removed {
        done.outcome = Outcome::Changed;
    }
    Ok(if settled { done } else { done.again_after(SOON) })
}

/// Sees to it that the Secret holds a credential that is good.
async fn issue(
    context: &Context,
    token: &ProxyToken,
    found: &Found,
    accepted: &Accepted,
) -> Result<Done, Error> {
    let now = context.now().as_second();
    let held = Held::of(token, found, now);
    let (story, again) = match rotate::plan(&held, accepted, found.signing.as_ref(), now) {
        Plan::Keep(issuance) => return hand_out(context, token, found, accepted, &held, issuance).await,
        Plan::Write(issuance) if found.knows(context, token, &issuance) || now - issuance.iat >= PATIENCE => {
            return hand_out(context, token, found, accepted, &held, issuance).await;
        }
        // What follows a record is done once it is in the cache, which calls this reconcile again.
        Plan::Write(issuance) | Plan::Record(issuance) => (Story::recorded(accepted, issuance, &held), SOON),
        // The keys' Secret calls this reconcile when it changes.
        Plan::WaitForKeys => (Story::waiting_for_keys(accepted, &held), LATER),
        Plan::Revoked { until } => {
            let seconds = u64::try_from(until - now).unwrap_or_default();
            (Story::revoked(accepted, until), Duration::from_secs(seconds))
        }
    };
    Ok(report::write(context, token, found, &story).await?.again_after(again))
}

/// Writes the Secret with this credential: the text that it holds already where that is the same one.
async fn hand_out(
    context: &Context,
    token: &ProxyToken,
    found: &Found,
    accepted: &Accepted,
    held: &Held,
    issuance: Issuance,
) -> Result<Done, Error> {
    let kept = held.text_of(&issuance);
    let known = found.knows(context, token, &issuance);
    // What the replicas accepted once they still accept, even if this process has not asked them yet.
    let settled = known || (kept.is_some() && is_ready(token));
    let credential = match kept {
        Some(text) => Credential::kept(text),
        None => Credential::minted(token, found, &issuance)?,
    };
    let applied = apply::apply(context, token, found, &credential).await?;
    let renewal = rotate::until_renewal(&issuance, &held.uid, context.now().as_second());
    let story = Story::issued(accepted, issuance, &applied, settled);
    let mut done = report::write(context, token, found, &story).await?.again_after(renewal);
    if applied.written {
        done.outcome = Outcome::Changed;
    }
    Ok(if settled || applied.foreign { done } else { done.again_after(LATER) })
}

fn is_ready(token: &ProxyToken) -> bool {
    token.status.as_ref().is_some_and(|status| is_true(&status.conditions, ConditionType::Ready))
}
