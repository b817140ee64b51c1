//! The address of the endpoint.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{object::annotated, pod::SERVICE_PORT_NAME};
use crate::{
    api::llm_proxy::{self, ServiceType},
    llm_proxy::validate::ValidatedProxy,
};

/// Leads to ready pods only.
pub(super) fn service(proxy: &ValidatedProxy) -> Service {
    let llm_proxy::Service { kind, port, annotations } = &proxy.service;
    let kind = match kind {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    };
    // Meshes and gateways read it: without TLS the port speaks HTTP/2 (and 1.1) in the clear.
    let protocol = if proxy.tls.is_encrypted() { "https" } else { "kubernetes.io/h2c" };
    Service {
        metadata: annotated(proxy, proxy.names.base(), annotations),
        spec: Some(ServiceSpec {
            type_: Some(kind.to_owned()),
            selector: Some(proxy.names.selector()),
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
