//! Decides when a leaf is needed, issues it, and keeps the last good one through all trouble.

use std::{io, time::Duration};

use jiff::{SignedDuration, Timestamp};
use vibectl_pki::{Ca, CertificateFacts, IssueError, IssueRequest, Leaf, Name, Names, Usage};

use super::{
    inputs::{InputError, Inputs, Seen},
    volume::Volume,
};

/// How long after a failure it is tried again, if nothing changes before.
const RETRY: SignedDuration = SignedDuration::from_secs(5);

/// How often a failure that lasts is said again.
const SAY_AGAIN: SignedDuration = SignedDuration::from_mins(10);

/// Why there is no new leaf.
#[derive(Debug, thiserror::Error)]
pub(super) enum AgentError {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("the CA may not issue for any of the names")]
    NothingPermitted,
    #[error("failed to issue a certificate: {0}")]
    Issue(#[from] IssueError),
    #[error("failed to write the certificate: {0}")]
    Write(#[from] io::Error),
}

/// Keeps one volume filled.
#[derive(Debug)]
pub(super) struct Agent {
    inputs: Inputs,
    volume: Volume,
    validity: Duration,
    held: Option<Held>,
    /// The inputs at the last attempt.
    seen: Option<Seen>,
    failure: Option<Failed>,
}

/// What is in the volume.
#[derive(Debug)]
struct Held {
    facts: CertificateFacts,
    renew_at: Timestamp,
}

#[derive(Debug)]
struct Failed {
    message: String,
    said_at: Timestamp,
    retry_at: Timestamp,
}

impl Agent {
    /// Takes over what the volume holds: a restart of the agent is no reason for a new certificate.
    pub(super) fn new(inputs: Inputs, volume: Volume, validity: Duration) -> Self {
        let held = volume.read().ok().map(|leaf| Held::new(&leaf));
        Self { inputs, volume, validity, held, seen: None, failure: None }
    }

    /// Acts if the inputs changed, a renewal is due, or a failure is to be tried again. Logs how it went.
    pub(super) fn look(&mut self, now: Timestamp) {
        let seen = self.inputs.seen();
        let changed = self.seen.as_ref() != Some(&seen);
        let due = match (&self.failure, &self.held) {
            (Some(failure), _) => now >= failure.retry_at,
            (None, Some(held)) => now >= held.renew_at,
            (None, None) => true,
        };
        if !changed && !due {
            return;
        }
        self.seen = Some(seen);
        match self.ensure(now) {
            Ok(()) => self.failure = None,
            Err(error) => self.failed(&error, now),
        }
    }

    /// Issues a leaf, unless the one that is held is just what would be issued.
    pub(super) fn ensure(&mut self, now: Timestamp) -> Result<(), AgentError> {
        let (ca, wanted) = self.inputs.read()?;
        let names = permitted(&ca, &wanted)?;
        if self.held.as_ref().is_some_and(|held| held.is_good(&ca, &names, now)) {
            return Ok(());
        }
        let request = IssueRequest { names: &names, usage: Usage::Server, validity: self.validity, now };
        let leaf = ca.issue(&request)?;
        self.volume.publish(&leaf)?;
        let facts = leaf.facts();
        tracing::info!(
            names = facts.names.join(" "),
            serial = facts.serial,
            issuer_key_id = facts.issuer_key_id,
            not_after = %facts.lifetime.not_after,
            "certificate issued"
        );
        self.held = Some(Held::new(&leaf));
        Ok(())
    }

    /// Says so once for each reason and now and then, not at each attempt.
    fn failed(&mut self, error: &AgentError, now: Timestamp) {
        let message = error.to_string();
        let said = self
            .failure
            .take()
            .filter(|failure| failure.message == message && now.duration_since(failure.said_at) < SAY_AGAIN);
        if said.is_none() {
            let held_until = self.held.as_ref().map(|held| held.facts.lifetime.not_after.to_string());
            tracing::error!(error = message, held_until, "no new certificate; the one that is there stays");
        }
        self.failure = Some(Failed {
            message,
            said_at: said.map_or(now, |failure| failure.said_at),
            retry_at: now.checked_add(RETRY).unwrap_or(Timestamp::MAX),
        });
    }
}

impl Held {
    fn new(leaf: &Leaf) -> Self {
        let facts = leaf.facts().clone();
        let renew_at = facts.lifetime.renew_at_with_jitter(random());
        Self { facts, renew_at }
    }

    fn is_good(&self, ca: &Ca, names: &Names, now: Timestamp) -> bool {
        let Self { facts, renew_at } = self;
        facts.lifetime.not_before <= now
            && now < *renew_at
            && facts.issuer_key_id == ca.facts().subject_key_id
            && facts.issuer_key_id.is_some()
            && names.iter().map(Name::to_string).eq(facts.names.iter().cloned())
    }
}

/// The part of the names that the CA may issue for.
fn permitted(ca: &Ca, wanted: &Names) -> Result<Names, AgentError> {
    let left_out: Vec<_> = ca.not_permitted(wanted).collect();
    if !left_out.is_empty() {
        let names = left_out.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        tracing::warn!(names, "left out names that the CA may not issue for");
    }
    let rest = wanted.iter().filter(|name| !left_out.contains(name)).cloned();
    Names::new(rest).map_err(|_| AgentError::NothingPermitted)
}

/// For jitter alone, so no reason to fail without it.
fn random() -> u16 {
    let mut bytes = [0; 2];
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u16::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use vibectl_pki::CaState;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn now() -> Timestamp {
        Timestamp::now()
    }

    fn after(hours: i64) -> Timestamp {
        now() + SignedDuration::from_hours(hours)
    }

    fn ca(names: &[&str]) -> Ca {
        Ca::constrained("test", &Names::parse(names).expect("names"), DAY * 365, now()).expect("a CA")
    }

    /// A pod with a CA Secret, a file of names and an empty volume.
    struct Pod(tempfile::TempDir);

    impl Pod {
        fn new(ca: Ca, names: &str) -> Self {
            let pod = Self(tempfile::tempdir().expect("a folder"));
            fs::create_dir(pod.path("ca")).expect("made");
            pod.put_ca(ca);
            pod.put_names(names);
            pod
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            self.0.path().join(name)
        }

        fn put_ca(&self, ca: Ca) {
            for (name, content) in CaState::new(ca).to_data() {
                replace(&self.path("ca").join(name), &content);
            }
        }

        fn put_names(&self, names: &str) {
            replace(&self.path("names"), names.as_bytes());
        }

        fn agent(&self) -> Agent {
            let inputs = Inputs::new(&self.path("ca"), Vec::new(), Some(self.path("names")));
            Agent::new(inputs, Volume::new(self.path("tls")), DAY)
        }

        fn held(&self) -> CertificateFacts {
            Volume::new(self.path("tls")).read().expect("a pair").facts().clone()
        }
    }

    /// A new file each time, as in a mounted volume.
    fn replace(path: &Path, content: &[u8]) {
        fs::write(path.with_extension("new"), content).expect("written");
        fs::rename(path.with_extension("new"), path).expect("moved");
    }

    #[test]
    fn a_leaf_is_renewed_at_two_thirds_of_its_life_and_not_before() {
        let pod = Pod::new(ca(&["a.svc"]), "a.svc\n");
        let mut agent = pod.agent();
        agent.look(now());
        let first = pod.held();

        agent.look(after(13));
        assert_eq!(pod.held(), first);

        agent.look(after(17));
        assert_ne!(pod.held().serial, first.serial);
    }

    #[test]
    fn another_ca_is_followed_at_once() {
        let pod = Pod::new(ca(&["a.svc"]), "a.svc\n");
        let mut agent = pod.agent();
        agent.look(now());

        let new = ca(&["a.svc"]);
        let key_id = new.facts().subject_key_id.clone();
        pod.put_ca(new);
        agent.look(now());

        assert_eq!(pod.held().issuer_key_id, key_id);
    }

    #[test]
    fn other_names_are_followed_at_once_and_the_same_content_in_new_files_is_not_a_change() {
        let pod = Pod::new(ca(&["a.svc", "b.svc"]), "a.svc\n");
        let mut agent = pod.agent();
        agent.look(now());
        let first = pod.held();

        pod.put_names("a.svc\n");
        agent.look(now());
        assert_eq!(pod.held(), first);

        pod.put_names("a.svc\nb.svc\n");
        agent.look(now());
        assert_eq!(pod.held().names, ["a.svc", "b.svc"]);
    }

    #[test]
    fn a_ca_or_names_that_cannot_be_read_leave_the_last_good_pair_until_they_can() {
        let pod = Pod::new(ca(&["a.svc"]), "a.svc\n");
        let mut agent = pod.agent();
        agent.look(now());
        let first = pod.held();

        replace(&pod.path("ca").join("tls.key"), b"garbage");
        pod.put_names("a b c\n");
        agent.look(now());
        assert!(agent.failure.is_some());
        agent.look(after(17));
        assert_eq!(pod.held(), first);

        pod.put_ca(ca(&["a.svc"]));
        pod.put_names("a.svc\n");
        agent.look(after(17));
        assert!(agent.failure.is_none());
        assert_ne!(pod.held().serial, first.serial);
    }

    #[test]
    fn a_failure_is_tried_again_after_a_while_without_any_change() {
        let pod = Pod::new(ca(&["a.svc"]), "a.svc\n");
        let mut agent = pod.agent();
        fs::write(pod.path("tls"), "in the way").expect("written");
        agent.look(now());
        assert!(agent.failure.is_some());

        fs::remove_file(pod.path("tls")).expect("removed");
        agent.look(now());
        assert!(agent.failure.is_some());
        agent.look(now() + RETRY + SignedDuration::from_secs(1));

        assert_eq!(pod.held().names, ["a.svc"]);
    }

    #[test]
    fn while_a_host_is_being_added_the_old_ca_issues_for_its_own_part() {
        let pod = Pod::new(ca(&["a.svc"]), "a.svc\nllm.example.org\n");
        let mut agent = pod.agent();

        agent.look(now());
        assert_eq!(pod.held().names, ["a.svc"]);

        pod.put_ca(ca(&["a.svc", "llm.example.org"]));
        agent.look(now());
        assert_eq!(pod.held().names, ["a.svc", "llm.example.org"]);
    }

    #[test]
    fn a_restart_keeps_a_good_pair() {
        let pod = Pod::new(ca(&["a.svc"]), "a.svc\n");
        pod.agent().look(now());
        let first = pod.held();

        pod.agent().look(now());

        assert_eq!(pod.held(), first);
    }
}
