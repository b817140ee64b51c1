//! What is expected of the pods, and what is seen of them. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use vibectl_pki::{CertificateFacts, Lifetime};
use vibectl_proto::fleet::v1::Certificate;

use crate::{
    api::llm_proxy::CertificateStatus,
    fleet::{book::PodView, lag::Expected, refresh::combined_revision},
    llm_proxy::{
        build::Revisions,
        gather::Gathered,
        report::{Seen, Served},
    },
};

/// What the pods should report.
pub fn expected(revisions: Revisions) -> Expected {
    let Revisions { parts, config_map, issuer_key_id } = revisions;
    Expected { parts, config_map: Some(config_map), issuer_key_id }
}

/// What they do report. Right after a write nobody can show it yet, so nobody is told to lag behind.
pub fn seen(gathered: &Gathered, expected: &Expected, views: &[PodView], wrote: bool) -> Seen {
    let serving: Vec<&PodView> =
        views.iter().filter(|view| view.pod.ready && !view.pod.terminating).collect();
    let authority = gathered.inputs.authority.as_ref();
    Seen {
        certificate: certificate(&serving),
        order: gathered.order.clone(),
        waiting: if wrote { Vec::new() } else { serving.iter().filter_map(|view| waiting(view)).collect() },
        rejected: serving.iter().flat_map(|view| rejected(view)).collect(),
        unreachable: serving.iter().filter_map(|view| unreachable(view)).collect(),
        providers_off: serving.iter().rev().flat_map(|view| providers_off(view)).collect(),
        keys_refused: serving.iter().flat_map(|view| keys_refused(view)).collect(),
        tokens: gathered.tokens,
        without_row: gathered.without_row.clone(),
        access_held: gathered.held.map(|held| {
            format!(
                "{} of {} rows of the access table would go without a deletion that was seen",
                held.missing, held.of
            )
        }),
        ca_fingerprint: authority.map(|authority| authority.facts().fingerprint_sha256.clone()),
        hold: None,
        trouble: authority.and_then(|authority| authority.trouble.clone()),
        revision: Some(combined_revision(expected)),
    }
}

/// Of several certificates the one that ends first: that is the one to worry about.
fn certificate(views: &[&PodView]) -> Option<Served> {
    let reports = views.iter().filter_map(|view| view.report.as_ref());
    let certificates = reports.filter_map(|(report, _)| report.certificate.as_ref());
    let first =
        certificates.min_by_key(|certificate| (certificate.not_after, &certificate.fingerprint_sha256))?;
    let Certificate { fingerprint_sha256, public_key_pin, not_before, not_after, .. } = first.clone();
    let [not_before, not_after] = [not_before, not_after].map(Timestamp::from_second);
    let lifetime = Lifetime { not_before: not_before.ok()?, not_after: not_after.ok()? };
    let status = CertificateStatus {
        fingerprint: fingerprint_sha256,
        pin: public_key_pin,
        not_after: Time(lifetime.not_after),
    };
    Some(Served { status, overdue_at: Some(lifetime.overdue_at()) })
}

/// Who may still serve something that this certificate vouches for: by issuer, or by being it.
///
/// A pod that has not told yet may; one that is not ready will get its certificate from what is in force by then.
pub fn users(views: &[PodView], facts: &CertificateFacts) -> Vec<String> {
    let user = |view: &PodView| {
        let name = &view.pod.name;
        let Some((report, _)) = &view.report else {
            return view.pod.ready.then(|| format!("pod {name} has not told its certificate yet"));
        };
        let served = report.certificate.as_ref()?;
        let issued = facts.subject_key_id.as_ref() == Some(&served.issuer_key_id);
        (issued || served.fingerprint_sha256 == facts.fingerprint_sha256)
            .then(|| format!("pod {name} serves certificate {}", served.fingerprint_sha256))
    };
    views.iter().filter_map(user).collect()
}

fn waiting(view: &PodView) -> Option<String> {
    let lag = view.lag.as_ref()?;
    lag.refreshable().then(|| view.pod.name.clone())
}

fn rejected(view: &PodView) -> Vec<String> {
    let rejected = view.lag.iter().flat_map(|lag| &lag.rejected);
    rejected.map(|(part, why)| format!("{} ({part}): {why}", view.pod.name)).collect()
}

fn providers_off(view: &PodView) -> impl Iterator<Item = (String, String)> {
    let told = view.report.iter().flat_map(|(report, _)| &report.providers);
    told.filter(|state| !state.available).map(|state| (state.name.clone(), state.reason.clone()))
}

fn keys_refused(view: &PodView) -> impl Iterator<Item = String> {
    let told = view.report.iter().flat_map(|(report, _)| &report.providers);
    told.filter(|state| state.key_refused).map(|state| state.name.clone())
}

fn unreachable(view: &PodView) -> Option<String> {
    view.unreachable.as_ref().map(|why| format!("{}: {why}", view.pod.name))
}
