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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        api::tls::Challenge,
        llm_proxy::{
            build::{Prepared, Resources, build},
            dereference::Referenced,
            fixtures,
            validate::validate,
        },
    };

    /// Without a certificate.
    fn waiting(challenge: Challenge, port: i32) -> Resources<Prepared> {
        let mut proxy = fixtures::proxy("acme");
        proxy.spec.tls.acme.as_mut().unwrap().challenge = Some(challenge);
        proxy.spec.service.port = port;
        let validated = validate(&proxy, &Referenced::default()).unwrap();
        build(&validated, &fixtures::inputs(&validated)).unwrap()
    }

    fn publishes_all(service: &Service) -> bool {
        service.spec.as_ref().unwrap().publish_not_ready_addresses == Some(true)
    }

    #[test]
    fn pods_start_without_the_certificate_and_see_nothing_of_account_and_order() {
        let resources = waiting(Challenge::Http01, 443);
        let pod = resources.deployment.spec.unwrap().template.spec.unwrap();
        let volumes = pod.volumes.unwrap();
        let tls = volumes.iter().find(|volume| volume.name == "tls").unwrap().secret.clone().unwrap();

        assert_eq!((tls.secret_name.as_deref(), tls.optional), (Some("team-acme"), Some(true)));
        let keys: Vec<_> = tls.items.iter().flatten().map(|item| item.key.as_str()).collect();
        assert_eq!(keys, ["tls.crt", "tls.key"]);
        assert!(
            resources.generated.iter().all(|secret| secret.metadata.name.as_deref() != Some("team-acme"))
        );
    }

    #[test]
    fn the_newest_certificate_takes_the_place_of_the_known_one() {
        let validated = fixtures::validated("acme");
        let mut inputs = fixtures::inputs(&validated);
        let of = |inputs: &Inputs| secret(&validated, inputs).unwrap().data.unwrap()["tls.crt"].0.clone();

        let known = of(&inputs);
        inputs.acme = Some(Ordered {
            pair: Some(Pair { chain: "newer".into(), key: "key".to_owned().into() }),
            answers: Vec::new(),
        });

        assert!(known.starts_with(b"-----BEGIN CERTIFICATE"));
        assert_eq!(of(&inputs), b"newer");
    }

    #[test]
    fn the_challenge_leads_to_every_pod_of_this_template_and_to_no_other() {
        let resources = waiting(Challenge::Http01, 443);
        let labels = resources.deployment.spec.unwrap().template.metadata.unwrap().labels.unwrap();
        let spec = resources.challenge_service.unwrap().spec.unwrap();

        let selector: BTreeSet<_> = spec.selector.unwrap().into_iter().collect();
        assert!(selector.iter().any(|(key, _)| key == TEMPLATE_LABEL));
        assert!(selector.is_subset(&labels.into_iter().collect()));
        assert_eq!(spec.publish_not_ready_addresses, Some(true));
        let port = &spec.ports.unwrap()[0];
        assert_eq!((port.port, &port.target_port), (80, &Some(IntOrString::String("challenge".into()))));
    }

    #[test]
    fn a_service_with_the_port_of_the_challenge_leads_to_pods_that_wait_until_there_is_a_certificate() {
        let [asked, other] = [443, 50051].map(|port| waiting(Challenge::TlsAlpn01, port));
        let http = waiting(Challenge::Http01, 443);
        let serving = fixtures::resources("acme");

        assert!(publishes_all(&asked.service));
        assert_eq!(asked.challenge_service.unwrap().spec.unwrap().type_.as_deref(), Some("ClusterIP"));
        assert_eq!(other.challenge_service.unwrap().spec.unwrap().type_.as_deref(), Some("LoadBalancer"));
        for service in [other.service, http.service, serving.service] {
            assert!(!publishes_all(&service));
        }
    }
}
