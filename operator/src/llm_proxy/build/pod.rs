//! The pod template. Everything in it that changes replaces the pods, so it holds no content, only where content is.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Capabilities, Container, ContainerPort, ExecAction, HTTPGetAction, Lifecycle, LifecycleHandler,
        PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile,
        SecurityContext, SleepAction, TopologySpreadConstraint,
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use vibectl_config::mount::{CA_DIR, CERTIFICATE_NAMES_FILE, CONFIG_DIR, CONFIG_FILE, TLS_DIR};

use super::{
    deployment::{DRAIN_DELAY_SECONDS, TERMINATION_GRACE_SECONDS},
    volumes,
};
use crate::{
    error::Error,
    llm_proxy::validate::{TlsMode, ValidatedProxy},
    names::{ADMIN_PORT, CHALLENGE_PORT, FLEET_PORT, SERVICE_PORT, TEMPLATE_LABEL, short_hash},
};

/// The image has nothing but this program.
const PROGRAM: &str = "/vibectl-server";
/// The user of the image; no other may run it.
const USER: i64 = 65532;

pub(super) const SERVICE_PORT_NAME: &str = "service";
pub(super) const ADMIN_PORT_NAME: &str = "admin";
pub(super) const FLEET_PORT_NAME: &str = "fleet";
pub(super) const CHALLENGE_PORT_NAME: &str = "challenge";

/// The template and its hash, which names the config that belongs to it.
pub(super) fn template(proxy: &ValidatedProxy, image: &str) -> Result<(PodTemplateSpec, String), Error> {
    let build = |hash: &str| PodTemplateSpec {
        metadata: Some(metadata(proxy, hash)),
        spec: Some(spec(proxy, image, proxy.names.config(hash))),
    };
    let hash = short_hash(&serde_json::to_vec(&build(""))?);
    Ok((build(&hash), hash))
}

fn metadata(proxy: &ValidatedProxy, hash: &str) -> ObjectMeta {
    let mut labels = proxy.names.labels();
    labels.insert(TEMPLATE_LABEL.to_owned(), hash.to_owned());
    ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }
}

fn spec(proxy: &ValidatedProxy, image: &str, config_map: String) -> PodSpec {
    let agent = match proxy.tls {
        TlsMode::PrivateCa(..) => Some(vec![certificate_agent(image)]),
        TlsMode::Plaintext
        | TlsMode::SelfSigned(..)
        | TlsMode::Secret(_)
        | TlsMode::CertManager(..)
        | TlsMode::Acme(..) => None,
    };
    PodSpec {
        service_account_name: Some(proxy.names.base()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(pod_security_context()),
        termination_grace_period_seconds: Some(TERMINATION_GRACE_SECONDS.into()),
        topology_spread_constraints: Some(spread(proxy)),
        init_containers: agent,
        containers: vec![server(proxy, image)],
        volumes: Some(volumes::volumes(proxy, config_map)),
        ..PodSpec::default()
    }
}

fn server(proxy: &ValidatedProxy, image: &str) -> Container {
    Container {
        name: "server".to_owned(),
        image: Some(image.to_owned()),
        args: Some(texts(&["serve", "--config", &format!("{CONFIG_DIR}/{CONFIG_FILE}")])),
        ports: Some(ports(proxy)),
        startup_probe: Some(Probe {
            period_seconds: Some(1),
            failure_threshold: Some(60),
            ..http_probe("/healthz")
        }),
        readiness_probe: Some(Probe {
            period_seconds: Some(5),
            failure_threshold: Some(2),
            ..http_probe("/readyz")
        }),
        liveness_probe: Some(Probe {
            period_seconds: Some(10),
            failure_threshold: Some(6),
            ..http_probe("/healthz")
        }),
        lifecycle: Some(Lifecycle { pre_stop: Some(drain_delay()), ..Lifecycle::default() }),
        resources: Some(requests("50m", "64Mi")),
        security_context: Some(security_context()),
        volume_mounts: Some(volumes::server_mounts(proxy)),
        ..Container::default()
    }
}

fn ports(proxy: &ValidatedProxy) -> Vec<ContainerPort> {
    let mut ports = vec![
        port(SERVICE_PORT_NAME, SERVICE_PORT),
        port(ADMIN_PORT_NAME, ADMIN_PORT),
        port(FLEET_PORT_NAME, FLEET_PORT),
    ];
    if proxy.tls.answers_http() {
        ports.push(port(CHALLENGE_PORT_NAME, CHALLENGE_PORT));
    }
    ports
}

/// Issues the certificate into memory, holds the server back until it is there, and renews it while the pod lives.
fn certificate_agent(image: &str) -> Container {
    let names = format!("{CONFIG_DIR}/{CERTIFICATE_NAMES_FILE}");
    let args = texts(&["certificate-agent", "--ca-dir", CA_DIR, "--out", TLS_DIR, "--names-file", &names]);
    let check =
        ExecAction { command: Some(texts(&[PROGRAM, "certificate-agent", "--check", "--out", TLS_DIR])) };
    Container {
        name: "certificate-agent".to_owned(),
        image: Some(image.to_owned()),
        args: Some(args),
        restart_policy: Some("Always".to_owned()),
        startup_probe: Some(Probe {
            exec: Some(check),
            period_seconds: Some(1),
            timeout_seconds: Some(5),
            failure_threshold: Some(60),
            ..Probe::default()
        }),
        resources: Some(requests("5m", "16Mi")),
        security_context: Some(security_context()),
        volume_mounts: Some(volumes::certificate_agent_mounts()),
        ..Container::default()
    }
}

fn http_probe(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(ADMIN_PORT_NAME.to_owned()),
            ..HTTPGetAction::default()
        }),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

/// Load balancers and clients learn of an ending pod a moment after it is told to end: it goes on answering for that moment.
fn drain_delay() -> LifecycleHandler {
    LifecycleHandler {
        sleep: Some(SleepAction { seconds: DRAIN_DELAY_SECONDS.into() }),
        ..LifecycleHandler::default()
    }
}

/// Over nodes and zones where that is possible; a cluster of one node is no reason not to run.
fn spread(proxy: &ValidatedProxy) -> Vec<TopologySpreadConstraint> {
    let over = |key: &str| TopologySpreadConstraint {
        max_skew: 1,
        topology_key: key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector {
            match_labels: Some(proxy.names.selector()),
            ..LabelSelector::default()
        }),
        ..TopologySpreadConstraint::default()
    };
    vec![over("kubernetes.io/hostname"), over("topology.kubernetes.io/zone")]
}

fn pod_security_context() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

fn security_context() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        ..SecurityContext::default()
    }
}

fn requests(cpu: &str, memory: &str) -> ResourceRequirements {
    let requests = BTreeMap::from([
        ("cpu".to_owned(), Quantity(cpu.to_owned())),
        ("memory".to_owned(), Quantity(memory.to_owned())),
    ]);
    ResourceRequirements { requests: Some(requests), ..ResourceRequirements::default() }
}

fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
