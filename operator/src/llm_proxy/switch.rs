//! From one way of securing a live proxy to another, so that a client which follows its Secret never meets a certificate that it
//! cannot verify. Pure.
//!
//! ```text
//! ca.crt of both ──wait──▶ replace the pods ──all replaced──▶ ca.crt of the new one
//! ```
//!
//! To and from plaintext there is nothing to overlap: clients have to change how they call. The same is true where one of both
//! has no ca.crt, since its clients trust the public CAs.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use vibectl_config::mount::CA_FILE;
use vibectl_pki::{CertificateFacts, TrustBundle};

use super::{
    build::{Prepared, Resources, TLS_OFF},
    validate::ValidatedProxy,
};
use crate::{
    apply::{Observed, prune::is_rolled_out},
    fleet::pods::{self, ProxyPod},
    names::{PUBLISHED_ANNOTATION, TLS_ANNOTATION},
};

/// What is there, and how long clients may take.
pub struct Scene<'a> {
    /// The objects of the proxy.
    pub observed: &'a Observed,
    /// Its pods.
    pub pods: &'a [ProxyPod],
    /// How long clients may take to see that their Secret has changed.
    pub wait: Duration,
    /// The time.
    pub now: Timestamp,
}

/// The pods are not replaced yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hold {
    /// What is in force, as the Deployment says it.
    pub from: String,
    /// When clients know what they need; unknown while there is no certificate to change to.
    pub until: Option<Timestamp>,
}

/// The objects as they should be for now, and whether the pods have to wait.
pub fn plan(
    mut prepared: Resources<Prepared>,
    proxy: &ValidatedProxy,
    scene: &Scene<'_>,
) -> (Resources<Prepared>, Option<Hold>) {
    let from = changes_from(&prepared, scene);
    if from.is_some()
        && let Some(service) = &mut prepared.service.spec
    {
        // The old pods serve: nobody is to be led to new ones that are not ready.
        service.publish_not_ready_addresses = None;
    }
    let published = scene.observed.config_maps.get(&proxy.names.ca_bundle()).map(AsRef::as_ref);
    if let Some(map) = &mut prepared.ca_bundle {
        publish(map, published, from.is_none() && is_settled(&prepared.config, scene), proxy, scene.now);
    }
    let hold = from.and_then(|from| match (&prepared.ca_bundle, published) {
        (None, _) if prepared.keeps_bundle.is_some() => Some(Hold { from, until: None }),
        (Some(map), Some(_)) => {
            let until = since(map)?.checked_add(scene.wait).ok()?;
            (scene.now < until).then_some(Hold { from, until: Some(until) })
        }
        _ => None,
    });
    (prepared, hold)
}

/// What the pods are secured by now, if that is to change while they serve.
fn changes_from(prepared: &Resources<Prepared>, scene: &Scene<'_>) -> Option<String> {
    let wanted = prepared.deployment.annotations().get(TLS_ANNOTATION)?;
    let live = scene.observed.deployments.get(&prepared.deployment.name_any())?;
    let from = live.annotations().get(TLS_ANNOTATION).filter(|from| *from != wanted)?;
    let encrypted = [from, wanted].iter().all(|mode| *mode != TLS_OFF);
    (encrypted && pods::serving(scene.pods).next().is_some()).then(|| from.clone())
}

/// No pod is left, nor will be made, that was made for something else than is wanted now.
fn is_settled(config: &ConfigMap, scene: &Scene<'_>) -> bool {
    let name = config.name_any();
    let deployments: Vec<_> = scene.observed.deployments.values().collect();
    deployments.iter().all(|live| is_rolled_out(live))
        && scene.pods.iter().all(|pod| pod.config_maps.contains(&name))
}

/// Keeps what is published until nothing needs it, but for a CA that must not be trusted; says since when the whole is so.
fn publish(
    map: &mut ConfigMap,
    published: Option<&ConfigMap>,
    settled: bool,
    proxy: &ValidatedProxy,
    now: Timestamp,
) {
    let (wanted, known) = (trusted(map), published.map(trusted).unwrap_or_default());
    let mut all = wanted;
    if !settled {
        let good = known.certificates().iter().filter(|der| !is_distrusted(der, proxy));
        all.extend(good.cloned());
    }
    let same = all.certificates().len() == known.certificates().len()
        && all.certificates().iter().all(|der| known.certificates().contains(der));
    let before = published.and_then(since).filter(|_| same);
    map.data.get_or_insert_default().insert(CA_FILE.to_owned(), all.to_pem());
    let annotations = map.metadata.annotations.get_or_insert_default();
    annotations.insert(PUBLISHED_ANNOTATION.to_owned(), before.unwrap_or(now).to_string());
}

fn trusted(map: &ConfigMap) -> TrustBundle {
    let text = map.data.as_ref().and_then(|data| data.get(CA_FILE));
    text.and_then(|text| TrustBundle::from_pem(text).ok()).unwrap_or_default()
}

fn is_distrusted(der: &[u8], proxy: &ValidatedProxy) -> bool {
    let facts = CertificateFacts::from_der(der);
    facts.is_ok_and(|facts| proxy.distrusted.as_ref() == Some(&facts.fingerprint_sha256))
}

fn since(map: &ConfigMap) -> Option<Timestamp> {
    map.annotations().get(PUBLISHED_ANNOTATION)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use jiff::SignedDuration;
    use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};

    use super::*;
    use crate::llm_proxy::{build::build, dereference::Referenced, fixtures, validate::validate};

    const WAIT: Duration = Duration::from_secs(120);

    fn at(second: i64) -> Timestamp {
        fixtures::now() + SignedDuration::from_secs(second)
    }

    fn prepared(fixture: &str) -> (Resources<Prepared>, ValidatedProxy) {
        let validated = fixtures::validated(fixture);
        (build(&validated, &fixtures::inputs(&validated)).unwrap(), validated)
    }

    /// A cluster in which these objects are, with one pod of their template that serves.
    fn cluster(objects: &Resources<Prepared>) -> (Observed, Vec<ProxyPod>) {
        let status = DeploymentStatus {
            replicas: Some(2),
            updated_replicas: Some(2),
            available_replicas: Some(2),
            ..DeploymentStatus::default()
        };
        let deployment = Deployment { status: Some(status), ..objects.deployment.clone() };
        let observed = Observed {
            deployments: BTreeMap::from([(deployment.name_any(), Arc::new(deployment))]),
            config_maps: objects
                .ca_bundle
                .iter()
                .map(|map| (map.name_any(), Arc::new(map.clone())))
                .collect(),
            ..Observed::default()
        };
        let pod = ProxyPod {
            uid: "u".into(),
            name: "team-1".into(),
            ip: None,
            ready: true,
            terminating: false,
            config_maps: vec![objects.config.name_any()],
        };
        (observed, vec![pod])
    }

    fn bundled(resources: &Resources<Prepared>) -> usize {
        trusted(resources.ca_bundle.as_ref().unwrap()).certificates().len()
    }

    fn planned(
        fixture: &str,
        (observed, pods): &(Observed, Vec<ProxyPod>),
        second: i64,
    ) -> (Resources<Prepared>, Option<Hold>) {
        let (objects, proxy) = prepared(fixture);
        plan(objects, &proxy, &Scene { observed, pods, wait: WAIT, now: at(second) })
    }

    #[test]
    fn the_pods_wait_until_clients_have_both_bundles() {
        let mut scene = cluster(&prepared("minimal").0);

        let (told, hold) = planned("own_certificate", &scene, 0);
        assert_eq!((bundled(&told), hold.unwrap().until), (2, Some(at(120))));

        // The next pass builds the same and finds it published.
        let map = told.ca_bundle.clone().unwrap();
        let again = |scene: &(Observed, Vec<ProxyPod>), second| {
            let (mut objects, proxy) = prepared("own_certificate");
            objects.ca_bundle.clone_from(&told.ca_bundle);
            plan(objects, &proxy, &Scene { observed: &scene.0, pods: &scene.1, wait: WAIT, now: at(second) })
        };
        scene.0.config_maps.insert(map.name_any(), Arc::new(map));
        assert_eq!(again(&scene, 119).1.unwrap().from, "privateCa");
        let (going, hold) = again(&scene, 120);
        assert_eq!((bundled(&going), hold), (2, None));
    }

    #[test]
    fn the_old_bundle_goes_with_the_last_old_pod() {
        let (old, new) = (prepared("minimal").0, prepared("own_certificate").0);
        let (mut observed, mut pods) = cluster(&new);
        observed.config_maps = cluster(&old).0.config_maps;
        pods.extend(cluster(&old).1.into_iter().map(|pod| ProxyPod { terminating: true, ..pod }));

        let rolling = planned("own_certificate", &(observed.clone(), pods.clone()), 0).0;
        pods.truncate(1);
        let settled = planned("own_certificate", &(observed, pods), 0).0;

        assert_eq!((bundled(&rolling), bundled(&settled)), (2, 1));
    }

    #[test]
    fn without_a_certificate_to_change_to_the_old_one_stays() {
        let (observed, pods) = cluster(&prepared("minimal").0);
        let proxy = fixtures::proxy("cert_manager");
        let validated = validate(&proxy, &Referenced::default()).unwrap();
        let objects = build(&validated, &fixtures::inputs(&validated)).unwrap();

        let scene = Scene { observed: &observed, pods: &pods, wait: WAIT, now: at(0) };
        let (_, hold) = plan(objects, &validated, &scene);

        assert_eq!(hold, Some(Hold { from: "privateCa".into(), until: None }));
    }

    #[test]
    fn to_acme_new_pods_come_at_once_to_answer_the_challenge_and_nobody_is_led_to_them() {
        let (observed, pods) = cluster(&prepared("minimal").0);
        let mut proxy = fixtures::proxy("acme");
        proxy.spec.tls.acme.as_mut().unwrap().challenge = Some(crate::api::tls::Challenge::TlsAlpn01);
        let validated = validate(&proxy, &fixtures::complete(&proxy).without("team-acme")).unwrap();
        let objects = build(&validated, &fixtures::inputs(&validated)).unwrap();
        let leads = |objects: &Resources<Prepared>| {
            objects.service.spec.as_ref().is_some_and(|spec| spec.publish_not_ready_addresses == Some(true))
        };
        assert!(leads(&objects), "where no old pod serves");

        let scene = Scene { observed: &observed, pods: &pods, wait: WAIT, now: at(0) };
        let (planned, hold) = plan(objects, &validated, &scene);

        assert_eq!(hold, None);
        assert!(!leads(&planned));
    }

    #[test]
    fn plaintext_and_a_proxy_that_serves_nobody_change_at_once() {
        let scene = cluster(&prepared("minimal").0);
        let idle = (scene.0.clone(), Vec::new());
        let open = cluster(&prepared("plaintext").0);

        assert_eq!(planned("plaintext", &scene, 0).1, None);
        assert_eq!(planned("own_certificate", &idle, 0).1, None);
        assert_eq!(planned("own_certificate", &open, 0).1, None);
        assert_eq!(planned("minimal", &scene, 0).1, None);
    }

    #[test]
    fn a_distrusted_ca_does_not_stay_for_old_pods() {
        let (mut old, mut proxy) = prepared("minimal");
        let known = trusted(old.ca_bundle.as_ref().unwrap());
        proxy.distrusted =
            Some(CertificateFacts::from_der(&known.certificates()[0]).unwrap().fingerprint_sha256);
        let (mut observed, pods) = cluster(&old);
        observed.deployments.clear();
        observed.deployments.extend(cluster(&prepared("own_certificate").0).0.deployments);
        old = prepared("own_ca").0;

        let (told, _) =
            plan(old, &proxy, &Scene { observed: &observed, pods: &pods, wait: WAIT, now: at(0) });

        assert!(!trusted(told.ca_bundle.as_ref().unwrap()).certificates().contains(&known.certificates()[0]));
    }
}
