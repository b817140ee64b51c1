//! Waits until the pods have the answers to challenges, and until the Service leads to them. They get the answers by the mounts:
//! the engine has written them down before it asks for this, and a reconcile has taken them from there.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use vibectl_config::mount::Part;
use vibectl_pki::acme::{Answer, ChallengeKind, Publisher};

use super::orders::Wanted;
use crate::{
    context::Context,
    fleet::{book::PodView, pods},
    names::ProxyNames,
};

/// Nothing is told to the ACME server as long as a pod that it may ask has no answer; after this, the attempt has failed.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often it is looked. The poller asks the pods as often meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A Service leads to its pods a moment after they have an address, and refuses connections until then. Nodes learn of it within
/// a second of one another. Where the operator may not connect, the ACME server may all the same: it is not waited for ever.
const LEADS_WITHIN: Duration = Duration::from_secs(10);
const OTHER_NODES: Duration = Duration::from_secs(1);

/// Why the answers cannot be given.
#[derive(Debug, thiserror::Error)]
#[error("{0} after {seconds} s", seconds = PATIENCE.as_secs())]
pub(super) struct Lagging(String);

/// The pods of one LlmProxy.
pub(super) struct FleetPublisher {
    context: Arc<Context>,
    wanted: Arc<Wanted>,
    /// The revision for which the Services were tried.
    tried: Mutex<Option<String>>,
}

impl Publisher for FleetPublisher {
    type Error = Lagging;

    async fn publish(&self, answer: &Answer) -> Result<(), Lagging> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.look(answer) {
                Ok(revision) => {
                    self.until_led_there(revision).await;
                    return Ok(());
                }
                Err(why) if Instant::now() > deadline => return Err(Lagging(why)),
                Err(_) => sleep(LOOK_EVERY).await,
            }
        }
    }

    /// The answers go with the order.
    async fn withdraw(&self, _: &Answer) -> Result<(), Lagging> {
        Ok(())
    }
}

impl FleetPublisher {
    pub(super) fn new(context: &Arc<Context>, wanted: &Arc<Wanted>) -> Self {
        Self { context: Arc::clone(context), wanted: Arc::clone(wanted), tried: Mutex::default() }
    }

    /// The revision that every pod shows.
    fn look(&self, answer: &Answer) -> Result<String, String> {
        let Self { context, wanted, tried: _ } = self;
        let shown = context.acme.shown(&wanted.uid).filter(|shown| shown.answers.contains(answer));
        let shown = shown.ok_or("the answer is not written for the pods")?;
        let proxy = context.stores.proxies.by_uid(&wanted.uid).ok_or("the LlmProxy is gone")?;
        let current = context.fleet.expected(&wanted.uid).and_then(|expected| expected.config_map);
        let current = current.ok_or("nothing is known of the pods")?;
        let views = context.fleet.view(&wanted.uid, &pods::of(&context.stores, &proxy));
        judge(&views, &current, &shown.revision).map(|()| shown.revision)
    }

    /// Once for all answers of an order: they come together.
    async fn until_led_there(&self, revision: String) {
        let before = self.tried.lock().unwrap_or_else(PoisonError::into_inner).replace(revision.clone());
        if before == Some(revision) {
            return;
        }
        let deadline = Instant::now() + LEADS_WITHIN;
        while Instant::now() < deadline {
            if self.is_led_there().await {
                return sleep(OTHER_NODES).await;
            }
            sleep(LOOK_EVERY).await;
        }
        let Wanted { namespace, name, .. } = self.wanted.as_ref();
        tracing::info!(
            namespace,
            name,
            "the Service of the challenge takes no connection of the operator; the ACME server is asked to look all the same"
        );
    }

    async fn is_led_there(&self) -> bool {
        for address in self.addresses() {
            let connected = timeout(OTHER_NODES, TcpStream::connect(address)).await;
            if !connected.is_ok_and(|connected| connected.is_ok()) {
                return false;
            }
        }
        true
    }

    /// Of the proxy's Services that have the port that the ACME server asks at.
    fn addresses(&self) -> Vec<SocketAddr> {
        let Wanted { namespace, name, challenge, .. } = self.wanted.as_ref();
        let port = if *challenge == ChallengeKind::Http01 { 80 } else { 443 };
        let names = ProxyNames::of(name);
        let services = [names.acme(), names.base()];
        let services = services.iter().filter_map(|name| self.context.stores.services.get(namespace, name));
        services.filter_map(|service| address(&service, port)).collect()
    }
}

fn address(service: &Service, port: u16) -> Option<SocketAddr> {
    let spec = service.spec.as_ref()?;
    let has_port = spec.ports.iter().flatten().any(|offered| offered.port == i32::from(port));
    let ip: IpAddr = spec.cluster_ip.as_deref()?.parse().ok()?;
    has_port.then_some(SocketAddr::new(ip, port))
}

/// Whether every pod that the challenge's Service leads to shows this revision. Those of an older template, without an address
/// or on their way out are none of these.
fn judge(views: &[PodView], template_config: &str, revision: &str) -> Result<(), String> {
    let asked: Vec<_> = views
        .iter()
        .filter(|view| view.pod.ip.is_some() && !view.pod.terminating)
        .filter(|view| view.pod.config_maps.iter().any(|name| name == template_config))
        .collect();
    if asked.is_empty() {
        return Err("no pod is there to answer the challenge".to_owned());
    }
    let lacking: Vec<_> =
        asked.iter().filter(|view| !shows(view, revision)).map(|view| view.pod.name.as_str()).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    Err(format!("{} did not show the answer to the challenge", lacking.join(", ")))
}

fn shows(view: &PodView, revision: &str) -> bool {
    let parts = view.report.iter().flat_map(|(report, _)| &report.parts);
    parts.into_iter().any(|part| part.part == Part::Acme.as_str() && part.revision == revision)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use vibectl_proto::fleet::v1::{PartInForce, ReportResponse};

    use super::*;
    use crate::fleet::pods::ProxyPod;

    fn view(name: &str, revision: Option<&str>) -> PodView {
        let part = |revision: &str| PartInForce {
            part: "acme".into(),
            revision: revision.into(),
            rejected: String::new(),
        };
        let report = revision.map(|revision| {
            let parts = vec![part(revision)];
            (Arc::new(ReportResponse { parts, ..ReportResponse::default() }), Timestamp::UNIX_EPOCH)
        });
        let pod = ProxyPod {
            uid: name.into(),
            name: name.into(),
            ip: Some([10, 0, 0, 1].into()),
            ready: false,
            terminating: false,
            config_maps: vec!["new".into()],
        };
        PodView { pod, report, unreachable: None, lag: None }
    }

    #[test]
    fn the_acme_server_is_told_when_every_pod_that_it_may_ask_has_the_answer() {
        assert_eq!(judge(&[view("a", Some("r")), view("b", Some("r"))], "new", "r"), Ok(()));

        let error = judge(&[view("a", Some("r")), view("b", Some("q")), view("c", None)], "new", "r");

        assert!(error.unwrap_err().starts_with("b, c did not show"));
    }

    #[test]
    fn pods_that_are_not_asked_are_not_waited_for() {
        let ours = view("a", Some("r"));
        let mut old = view("b", None);
        old.pod.config_maps = vec!["old".into()];
        let mut going = view("c", None);
        going.pod.terminating = true;
        let mut pending = view("d", None);
        pending.pod.ip = None;

        assert_eq!(judge(&[ours, old.clone(), going, pending], "new", "r"), Ok(()));
        assert!(judge(&[old], "new", "r").unwrap_err().contains("no pod"));
    }
}
