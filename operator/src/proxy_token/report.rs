//! The status of a ProxyToken: built pure, written once and only when it differs.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use vibectl_token::{renewal::renew_at, table::Identity};

use super::{
    Error,
    apply::{Applied, failed},
    dereference::Found,
    rotate::{Held, Issuance, recorded},
    stale,
    validate::{Accepted, Refused},
};
use crate::{
    access::{identity, judge::min_iat, proxy_of},
    api::{
        ProxyToken, ProxyTokenStatus,
        conditions::{ConditionType, Finding, Reason, find, merge},
    },
    context::Context,
    fleet::{
        pods,
        usage::{Counted, settle},
    },
    names::{CLUSTER_ISSUER, STATUS_FIELD_MANAGER, audience_for_service_accounts},
    runtime::controller::Done,
};

/// What there is to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    accepted: Finding,
    ready: Finding,
    issuance: Option<Issuance>,
    secret: Option<String>,
}

impl Story {
    /// No access.
    pub fn refused(refused: Refused) -> Self {
        let Refused { accepted, reason, message } = refused;
        let ready = Finding::no(ConditionType::Ready, reason, message.clone());
        let accepted = if accepted {
            Finding::yes(ConditionType::Accepted, Reason::Valid, "the spec is valid")
        } else {
            Finding::no(ConditionType::Accepted, reason, message)
        };
        Self { accepted, ready, issuance: None, secret: None }
    }

    /// No key signs yet.
    pub fn waiting_for_keys(accepted: &Accepted, held: &Held) -> Self {
        let ready = waiting(held, Reason::Pending, "the proxy's signing keys are being made");
        Self { accepted: to_finding(accepted), ready, issuance: None, secret: None }
    }

    /// Nothing issued before that second would be accepted.
    pub fn revoked(accepted: &Accepted, until: i64) -> Self {
        let moment = time(until).map(|time| time.0.to_string()).unwrap_or_default();
        let message = format!("spec.revokedBefore: a new credential is written at {moment}");
        let ready = Finding::no(ConditionType::Ready, Reason::Pending, message);
        Self { accepted: to_finding(accepted), ready, issuance: None, secret: None }
    }

    /// Whoever the identity names is let in; `settled` when all ready replicas do.
    pub fn recognized(token: &ProxyToken, accepted: &Accepted, settled: bool) -> Self {
        let who = identity::of(token).map(|identity| described(&identity)).unwrap_or_default();
        let ready = if settled {
            Finding::yes(
                ConditionType::Ready,
                Reason::Recognized,
                format!("{who} is let in with its own token"),
            )
        } else {
            let message = format!("not all ready replicas have told yet that they let {who} in");
            Finding::no(ConditionType::Ready, Reason::WaitingForReplicas, message)
        };
        Self { accepted: to_finding(accepted), ready, issuance: None, secret: None }
    }

    /// A new credential is on its way.
    pub fn recorded(accepted: &Accepted, issuance: Issuance, held: &Held) -> Self {
        let message = "the credential is written when all ready replicas accept it";
        let ready = waiting(held, Reason::WaitingForReplicas, message);
        Self { accepted: to_finding(accepted), ready, issuance: Some(issuance), secret: None }
    }

    /// The Secret holds this credential; `settled` when all ready replicas accept it.
    pub fn issued(accepted: &Accepted, issuance: Issuance, applied: &Applied, settled: bool) -> Self {
        let name = &applied.name;
        let ready = if applied.foreign {
            let message = format!(
                "a Secret {name} is there already and was not made for this ProxyToken: remove it or choose another spec.secretName"
            );
            Finding::no(ConditionType::Ready, Reason::ObjectConflict, message)
        } else if settled {
            let message = format!("Secret {name} holds a credential, which is renewed in time");
            Finding::yes(ConditionType::Ready, Reason::Issued, message)
        } else {
            let message = format!(
                "Secret {name} holds a credential, but not all ready replicas have told yet that they accept it"
            );
            Finding::no(ConditionType::Ready, Reason::WaitingForReplicas, message)
        };
        let secret = (!applied.foreign).then(|| name.clone());
        Self { accepted: to_finding(accepted), ready, issuance: Some(issuance), secret }
    }
}

fn described(identity: &Identity) -> String {
    let Identity { issuer, claim, value } = identity;
    if issuer == CLUSTER_ISSUER { value.clone() } else { format!("{claim} {value} of {issuer}") }
}

/// While a good credential is there, the next one being on its way does not make the ProxyToken less ready.
fn waiting(held: &Held, reason: Reason, message: &str) -> Finding {
    if held.good.is_some() {
        return Finding::yes(ConditionType::Ready, Reason::Issued, "the credential is being renewed");
    }
    Finding::no(ConditionType::Ready, reason, message)
}

fn to_finding(accepted: &Accepted) -> Finding {
    if accepted.cut.is_empty() {
        return Finding::yes(ConditionType::Accepted, Reason::Valid, "the spec is valid");
    }
    let message = format!("cut to the proxy's access.ceilings: {}", accepted.cut.join(", "));
    Finding::yes(ConditionType::Accepted, Reason::AboveCeiling, message)
}

/// The status to have.
pub fn status(token: &ProxyToken, found: &Found, story: &Story, now: Timestamp) -> ProxyTokenStatus {
    let uid = token.uid().unwrap_or_default();
    let before = token.status.clone().unwrap_or_default();
    let generation = token.metadata.generation;
    let named = identity::of(token);
    let issuance = story.issuance.clone().or_else(|| recorded(token)).filter(|_| named.is_none());
    let counted = Counted::of(&found.views);
    let usage = match &found.proxy {
        Some(_) => settle(before.usage.as_ref(), &uid, &counted),
        None => before.usage.clone(),
    };
    let stale_credential = issuance.as_ref().and_then(|newest| {
        stale::stale(before.stale_credential.as_ref(), &uid, newest, &counted.reports, now)
    });
    let earlier_until = issuance.as_ref().and_then(|issuance| earlier_until(token, issuance));
    ProxyTokenStatus {
        observed_generation: generation,
        conditions: merge(
            &before.conditions,
            vec![story.accepted.clone(), usable(&story.ready, found)],
            generation,
            now,
        ),
        audience: named.as_ref().and_then(|identity| audience(token, identity)),
        secret_name: story.secret.clone().or(before.secret_name).filter(|_| named.is_none()),
        key_id: issuance.as_ref().map(|issuance| issuance.kid.clone()),
        issued_at: issuance.as_ref().and_then(|issuance| time(issuance.iat)),
        expires_at: issuance.as_ref().and_then(|issuance| time(issuance.exp)),
        earlier_until,
        stale_credential,
        renews_at: issuance.as_ref().and_then(|issuance| time(renew_at(issuance.iat, issuance.exp, &uid))),
        usage,
    }
}

/// What a pod has to ask for in its projected token.
fn audience(token: &ProxyToken, identity: &Identity) -> Option<String> {
    let (namespace, name) = proxy_of(token);
    (identity.issuer == CLUSTER_ISSUER).then(|| audience_for_service_accounts(namespace, name))
}

/// A credential that nobody answers to is not ready for use, however good it is.
fn usable(ready: &Finding, found: &Found) -> Finding {
    let hinges_on_pods =
        matches!(ready.reason, Reason::Issued | Reason::Recognized | Reason::WaitingForReplicas);
    match &found.proxy {
        Some(proxy) if hinges_on_pods && pods::serving(&found.pods).next().is_none() => {
            let message = format!("no pod of LlmProxy {} is ready", proxy.name_any());
            Finding::no(ConditionType::Ready, Reason::NoReadyReplicas, message)
        }
        _ => ready.clone(),
    }
}

/// The end of what was issued before this one, where that is later and nobody revoked it: its key is kept so long.
fn earlier_until(token: &ProxyToken, issuance: &Issuance) -> Option<Time> {
    let before = token.status.as_ref()?;
    let revoked = recorded(token).is_some_and(|former| former.iat < min_iat(token));
    let ends = [&before.expires_at, &before.earlier_until].into_iter().flatten();
    ends.max().filter(|end| !revoked && end.0.as_second() > issuance.exp).cloned()
}

/// Writes the status where it differs, and tells an Event where the ProxyToken has become ready or not.
pub async fn write(
    context: &Context,
    token: &ProxyToken,
    found: &Found,
    story: &Story,
) -> Result<Done, Error> {
    let wanted = status(token, found, story, context.now());
    if token.status.as_ref() == Some(&wanted) {
        return Ok(Done::unchanged());
    }
    let name = token.name_any();
    let api: Api<ProxyToken> =
        Api::namespaced(context.client.clone(), &token.namespace().ok_or(Error::NoIdentity)?);
    // With the version that the totals were counted from: usage never counts twice.
    let patch = json!({
        "apiVersion": ProxyToken::api_version(&()),
        "kind": ProxyToken::kind(&()),
        "metadata": {"name": name, "uid": token.uid(), "resourceVersion": token.resource_version()},
        "status": serde_json::to_value(&wanted)?,
    });
    let parameters = PatchParams::apply(STATUS_FIELD_MANAGER).force();
    api.patch_status(&name, &parameters, &Patch::Apply(&patch)).await.map_err(failed("write the status"))?;
    tell(context, token, &wanted).await;
    Ok(Done::changed())
}

async fn tell(context: &Context, token: &ProxyToken, wanted: &ProxyTokenStatus) {
    let known = token.status.as_ref().and_then(|status| status.stale_credential.as_ref());
    let secret = wanted.secret_name.as_deref().unwrap_or_default();
    if let Some(note) = stale::news(known, wanted.stale_credential.as_ref(), secret) {
        context.events.warning(token, stale::REASON, note).await;
    }
    let before = token.status.as_ref().and_then(|status| find(&status.conditions, ConditionType::Ready));
    let Some(now) = find(&wanted.conditions, ConditionType::Ready) else { return };
    if before.is_some_and(|before| (&before.status, &before.reason) == (&now.status, &now.reason)) {
        return;
    }
    let passing = [Reason::WaitingForReplicas, Reason::Pending, Reason::NoReadyReplicas].map(Reason::as_str);
    if now.status == "True" || now.reason == Reason::Suspended.as_str() {
        context.events.normal(token, &now.reason, now.message.clone()).await;
    } else if !passing.contains(&now.reason.as_str()) {
        context.events.warning(token, &now.reason, now.message.clone()).await;
    }
}

fn time(second: i64) -> Option<Time> {
    Timestamp::from_second(second).ok().map(Time)
}
