//! The address of the endpoint.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{acme, object::annotated, pod::SERVICE_PORT_NAME};
use crate::{
    api::llm_proxy::{self, ServiceType},
    llm_proxy::validate::ValidatedProxy,
};

/// Leads to ready pods only. Where an ACME server asks at its very port, others answer too until there is a certificate:
/// nobody can be served before that.
pub(super) fn service(proxy: &ValidatedProxy) -> Service {
    let llm_proxy::Service { kind: _, port, headless, reflection: _, annotations } = &proxy.service;
    // Meshes and gateways read it: without TLS the port speaks HTTP/2 (and 1.1) in the clear.
    let protocol = if proxy.tls.is_encrypted() { "https" } else { "kubernetes.io/h2c" };
    Service {
        metadata: annotated(proxy, proxy.names.base(), annotations),
        spec: Some(ServiceSpec {
            type_: Some(kind(&proxy.service).to_owned()),
            cluster_ip: headless.then(|| "None".to_owned()),
            selector: Some(proxy.names.selector()),
            publish_not_ready_addresses: (acme::is_challenged_here(proxy) && lacks_certificate(proxy))
                .then_some(true),
            ports: Some(vec![ServicePort {
                name: Some(SERVICE_PORT_NAME.to_owned()),
                port: *port,
                target_port: Some(IntOrString::String(SERVICE_PORT_NAME.to_owned())),
                protocol: Some("TCP".to_owned()),
                app_protocol: Some(protocol.to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn lacks_certificate(proxy: &ValidatedProxy) -> bool {
    proxy.tls.kept().is_some_and(|kept| kept.pair.is_err())
}

/// As in a Service.
pub(super) fn kind(service: &llm_proxy::Service) -> &'static str {
    match service.kind {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    }
}
