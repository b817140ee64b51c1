//! What pods need with `tls.acme`: the certificate, the answers to challenges, and the Service by which these are asked for.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret, Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use vibectl_config::mount::{ANSWERS_FILE, CERTIFICATE_FILE, KEY_FILE};
use vibectl_pki::acme::{Answer, ChallengeKind};

use super::{
    Inputs, authority,
    object::{annotated, metadata},
    pod::{CHALLENGE_PORT_NAME, SERVICE_PORT_NAME},
    service,
};
use crate::{
    acme::state::Pair,
    error::Error,
    llm_proxy::validate::{TlsMode, ValidatedProxy},
    names::TEMPLATE_LABEL,
};

/// What the engine has written down, as far as pods need it.
#[derive(Clone, Default)]
pub struct Ordered {
    /// The newest certificate; none when there is none of today's ACME server.
    pub pair: Option<Pair>,
    /// Answers to pending challenges.
    pub answers: Vec<Answer>,
}

/// The Secret with the pair: the newest one, or else the one that is there. Without either there is none, and the pods wait.
pub(super) fn secret(proxy: &ValidatedProxy, inputs: &Inputs) -> Option<Secret> {
    let TlsMode::Acme(_, kept) = &proxy.tls else { return None };
    let newest = inputs.acme.as_ref().and_then(|ordered| ordered.pair.as_ref());
    let (chain, key) = match (newest, &kept.pair) {
        (Some(Pair { chain, key }), _) => (chain.as_bytes().to_vec(), key.as_bytes().to_vec()),
        (None, Ok(known)) => (known.certificate.to_vec(), known.key.to_vec()),
        (None, Err(_)) => return None,
    };
    let data = [(CERTIFICATE_FILE, chain), (KEY_FILE, key)];
    let data = data.map(|(name, content)| (name.to_owned(), ByteString(content)));
    Some(authority::secret(proxy, kept.secret.clone(), data.into()))
}

/// The answers, which are no secret: the ACME server reads them over the open network. There from the start, so that pods can
/// mount it.
pub(super) fn answers(proxy: &ValidatedProxy, inputs: &Inputs) -> Result<Option<ConfigMap>, Error> {
    let TlsMode::Acme(..) = &proxy.tls else { return Ok(None) };
    let answers = inputs.acme.as_ref().map(|ordered| ordered.answers.as_slice()).unwrap_or_default();
    let content = serde_json::to_string(answers)?;
    Ok(Some(ConfigMap {
        metadata: metadata(proxy, proxy.names.acme()),
        data: Some(BTreeMap::from([(ANSWERS_FILE.to_owned(), content)])),
        ..ConfigMap::default()
    }))
}

/// The port that an ACME server asks at.
fn challenge_port(challenge: ChallengeKind) -> i32 {
    match challenge {
        ChallengeKind::Http01 => 80,
        ChallengeKind::TlsAlpn01 | ChallengeKind::Dns01 => 443,
    }
}

/// Whether the proxy's own Service has the port that an ACME server asks at.
pub(super) fn is_challenged_here(proxy: &ValidatedProxy) -> bool {
    matches!(&proxy.tls, TlsMode::Acme(order, _)
        if order.challenge == ChallengeKind::TlsAlpn01 && proxy.service.port == challenge_port(order.challenge))
}

/// Leads to every pod of this template, ready or not: until there is a certificate none is, and none of an older template can
/// answer.
pub(super) fn challenge_service(proxy: &ValidatedProxy, template_hash: &str) -> Option<Service> {
    let TlsMode::Acme(order, _) = &proxy.tls else { return None };
    let target = if proxy.tls.answers_http() { CHALLENGE_PORT_NAME } else { SERVICE_PORT_NAME };
    // Where the other one does too, it is not worth a load balancer of its own.
    let kind = if is_challenged_here(proxy) { "ClusterIP" } else { service::kind(&proxy.service) };
    let mut selector = proxy.names.selector();
    selector.insert(TEMPLATE_LABEL.to_owned(), template_hash.to_owned());
    Some(Service {
        metadata: annotated(proxy, proxy.names.acme(), &proxy.service.annotations),
        spec: Some(ServiceSpec {
            type_: Some(kind.to_owned()),
            selector: Some(selector),
            publish_not_ready_addresses: Some(true),
            ports: Some(vec![ServicePort {
                name: Some(CHALLENGE_PORT_NAME.to_owned()),
                port: challenge_port(order.challenge),
                target_port: Some(IntOrString::String(target.to_owned())),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    })
}
