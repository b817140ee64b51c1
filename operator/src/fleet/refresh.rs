//! Makes the kubelet refresh what a pod mounts, by changing an annotation of the pod.
//!
//! The kubelet reads the mounted object from its own watch cache, and a patch that overtakes the object's event shows
//! the old content. So the annotation carries an attempt, and is patched again until the pod reports the revision.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{lag::Expected, pods::ProxyPod};
use crate::names::{FIELD_MANAGER, REVISION_ANNOTATION, short_digest};

/// The wait after the first attempt, doubled up to the second.
const FIRST: Duration = Duration::from_secs(1);
const MAXIMUM: Duration = Duration::from_secs(30);

/// What was attempted on which pod, by UID.
#[derive(Debug, Default)]
pub struct Refreshes {
    pods: HashMap<String, Attempt>,
}

#[derive(Debug)]
struct Attempt {
    revision: String,
    number: u32,
    again: Instant,
}

impl Refreshes {
    /// The annotation to write now on a pod that does not show `revision` yet; `None` while an attempt may still work.
    /// A pod that cannot be asked is told once for each revision.
    pub fn next(&mut self, pod_uid: &str, revision: &str, reachable: bool, now: Instant) -> Option<String> {
        let number = match self.pods.get(pod_uid).filter(|attempt| attempt.revision == revision) {
            None => 1,
            Some(attempt) if reachable && attempt.again <= now => attempt.number.saturating_add(1),
            Some(_) => return None,
        };
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(number - 1)).min(MAXIMUM);
        self.pods
            .insert(pod_uid.to_owned(), Attempt { revision: revision.to_owned(), number, again: now + wait });
        Some(format!("{revision}.{number}"))
    }

    /// Forgets the pods for which `keep` is false.
    pub fn keep(&mut self, keep: impl Fn(&str) -> bool) {
        self.pods.retain(|uid, _| keep(uid));
    }
}

/// One short name for everything that is expected. The parts are keyed digests already, so nothing can be guessed.
pub fn combined_revision(expected: &Expected) -> String {
    let Expected { parts, config_map, issuer_key_id } = expected;
    let parts: BTreeMap<_, _> = parts.iter().map(|(part, revision)| (part.as_str(), revision)).collect();
    let text = json!([parts, config_map, issuer_key_id]).to_string();
    short_digest(text.as_bytes(), 8)
}

/// Writes the annotation.
pub async fn annotate(
    client: &Client,
    namespace: &str,
    pod: &ProxyPod,
    value: &str,
) -> Result<(), kube::Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    // The UID is a precondition: a pod made again under the same name has the newest content anyway.
    let patch = json!({"metadata": {"uid": pod.uid, "annotations": {REVISION_ANNOTATION: value}}});
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    pods.patch_metadata(&pod.name, &parameters, &Patch::Merge(&patch)).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use vibectl_config::mount::Part;

    use super::*;

    #[test]
    fn a_pod_is_patched_again_until_it_shows_the_revision() {
        let mut refreshes = Refreshes::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);

        assert_eq!(refreshes.next("p", "r1", true, at(0)).as_deref(), Some("r1.1"));
        assert_eq!(refreshes.next("p", "r1", true, at(0)), None);
        assert_eq!(refreshes.next("p", "r1", true, at(1)).as_deref(), Some("r1.2"));
        assert_eq!(refreshes.next("p", "r1", true, at(2)), None);
        assert_eq!(refreshes.next("p", "r1", true, at(3)).as_deref(), Some("r1.3"));
        assert_eq!(
            refreshes.next("p", "r2", true, at(3)).as_deref(),
            Some("r2.1"),
            "a new revision starts over"
        );
    }

    #[test]
    fn a_pod_that_cannot_be_asked_is_told_once() {
        let mut refreshes = Refreshes::default();
        let start = Instant::now();

        assert!(refreshes.next("p", "r1", false, start).is_some());
        assert!(refreshes.next("p", "r1", false, start + Duration::from_secs(3600)).is_none());
    }

    #[test]
    fn the_combined_revision_changes_with_each_part() {
        let expected = |revision: &str| Expected {
            parts: BTreeMap::from([(Part::Access, revision.to_owned())]),
            ..Expected::default()
        };

        assert_eq!(combined_revision(&expected("a")), combined_revision(&expected("a")));
        assert_ne!(combined_revision(&expected("a")), combined_revision(&expected("b")));
        assert_eq!(combined_revision(&expected("a")).len(), 16);
    }
}
