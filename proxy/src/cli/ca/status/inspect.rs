//! Looks at every certificate of a CA directory. Reads, changes nothing.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use vibectl_pki::{CertificateFacts, Chain, Lifetime, PrivateKey, TrustBundle, leaf::chain_matches_key};
use zeroize::Zeroizing;

use crate::cli::outcome::chain;
use crate::tls::ca_directory::publish::{self, is_issued_by};
use crate::tls::ca_directory::{CaDirectory, Issued, PairPath, Purpose};

/// One line of the report.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    pub(super) status: State,
    pub(super) path: PathBuf,
    pub(super) days_left: Option<i64>,
    #[serde(serialize_with = "as_text")]
    pub(super) not_after: Option<Timestamp>,
    pub(super) names: Vec<String>,
    pub(super) fingerprint_sha256: Option<String>,
    pub(super) problem: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Root,
    Intermediate,
    Retired,
    Server,
    Client,
    Bundle,
    RevocationList,
}

impl Kind {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Root => "Root CA",
            Self::Intermediate => "Intermediate CA",
            Self::Retired => "Retired CA",
            Self::Server => "Server",
            Self::Client => "Client",
            Self::Bundle => "Trust Bundle",
            Self::RevocationList => "Revocation List",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Valid,
    ExpiresSoon,
    Expired,
    Missing,
    CheckFailed,
}

impl State {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Valid => "Valid",
            Self::ExpiresSoon => "Expires Soon",
            Self::Expired => "Expired",
            Self::Missing => "Missing",
            Self::CheckFailed => "Check Failed",
        }
    }

    pub(super) fn is_failure(self) -> bool {
        !matches!(self, Self::Valid | Self::ExpiresSoon)
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

#[expect(clippy::ref_option, reason = "the signature that serde calls")]
fn as_text<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_string()).serialize(serializer)
}

/// Root, intermediate, those of a rotation, bundle and revocation lists, then what was issued.
pub(super) fn inspect(directory: &CaDirectory, now: Timestamp, soon: u32) -> Vec<Entry> {
    let root = first_certificate(&directory.root().certificate);
    let intermediate = first_certificate(&directory.intermediate().certificate);
    let upwards: Vec<_> =
        [&intermediate, &root].into_iter().filter_map(|chain| chain.as_ref().ok()).collect();

    let look = Look { now, soon };
    let mut entries = vec![
        look.at("root", Kind::Root, &directory.root(), &[]),
        look.at(
            "intermediate",
            Kind::Intermediate,
            &directory.intermediate(),
            &upwards[upwards.len().min(1)..],
        ),
    ];
    let others = Others::of(directory);
    entries.extend(others.entries(directory, &look));
    entries.push(bundle(directory, &upwards));
    entries.extend(look.revocation_lists(directory));
    for Issued { name, purpose, paths } in directory.issued() {
        let kind = match purpose {
            Purpose::Server => Kind::Server,
            Purpose::Client => Kind::Client,
        };
        let issuers = others.upwards_of(&paths).unwrap_or_else(|| upwards.clone());
        entries.push(look.at(&name, kind, &paths, &issuers));
    }
    entries
}

/// The CAs beside the one that issues.
struct Others {
    next: Option<(Chain, Chain)>,
    previous_root: Option<Chain>,
    retired: Vec<(String, PairPath, Chain)>,
}

impl Others {
    fn of(directory: &CaDirectory) -> Self {
        let read = |paths: PairPath| first_certificate(&paths.certificate).ok();
        let next = directory.next();
        let retired = directory.retired().into_iter();
        Self {
            next: read(next.root()).zip(read(next.intermediate())),
            previous_root: read(directory.previous_root()),
            retired: retired
                .filter_map(|(id, paths)| read(paths.clone()).map(|chain| (id, paths, chain)))
                .collect(),
        }
    }

    fn entries(&self, directory: &CaDirectory, look: &Look) -> Vec<Entry> {
        let mut entries = Vec::new();
        if let Some((root, _)) = &self.next {
            entries.push(look.at("next root", Kind::Root, &directory.next().root(), &[]));
            entries.push(look.at(
                "next intermediate",
                Kind::Intermediate,
                &directory.next().intermediate(),
                &[root],
            ));
        }
        if self.previous_root.is_some() {
            entries.push(look.at("previous root", Kind::Root, &directory.previous_root(), &[]));
        }
        for (id, paths, _) in &self.retired {
            entries.push(look.at(&format!("retired {id}"), Kind::Retired, paths, &[]));
        }
        entries
    }

    /// The retired CA that issued this leaf.
    fn upwards_of(&self, leaf: &PairPath) -> Option<Vec<&Chain>> {
        let leaf = first_certificate(&leaf.certificate).ok()?;
        let issuer = self.retired.iter().find(|(.., ca)| is_issued_by(&leaf, ca));
        issuer.map(|(.., ca)| vec![ca])
    }
}

struct Look {
    now: Timestamp,
    soon: u32,
}

impl Look {
    /// `issuers` are what the certificate should hang from, the nearest first.
    fn at(&self, name: &str, kind: Kind, paths: &PairPath, issuers: &[&Chain]) -> Entry {
        let mut entry = Entry::new(name, kind, &paths.certificate);
        let chain = match first_certificate(&paths.certificate) {
            Ok(chain) => chain,
            Err(failure) => return entry.failed(failure),
        };
        let facts = match chain.facts() {
            Ok(facts) => facts,
            Err(error) => return entry.failed((State::CheckFailed, error.to_string())),
        };
        let (state, problem) = self.judge(&facts, kind, &chain, paths, issuers);
        entry.status = state;
        entry.problem = problem;
        entry.days_left = Some(facts.days_left(self.now));
        entry.not_after = Some(facts.lifetime.not_after);
        entry.names = facts.names;
        entry.fingerprint_sha256 = Some(facts.fingerprint_sha256);
        entry
    }

    fn judge(
        &self,
        facts: &CertificateFacts,
        kind: Kind,
        chain: &Chain,
        paths: &PairPath,
        issuers: &[&Chain],
    ) -> (State, Option<String>) {
        if self.now > facts.lifetime.not_after {
            // What it issued has ended, too.
            return (if kind == Kind::Retired { State::Valid } else { State::Expired }, None);
        }
        if self.now < facts.lifetime.not_before {
            return (State::CheckFailed, Some(format!("not valid before {}", facts.lifetime.not_before)));
        }
        if !matches!(kind, Kind::Server | Kind::Client) && !facts.is_authority {
            return (State::CheckFailed, Some("not a CA certificate".to_owned()));
        }
        if !hangs_from(chain, issuers) {
            return (State::CheckFailed, Some("not issued by this CA".to_owned()));
        }
        if let Err(problem) = check_key(kind, chain, &paths.key) {
            return (State::CheckFailed, Some(problem));
        }
        let soon = facts.days_left(self.now) < i64::from(self.soon);
        (if soon { State::ExpiresSoon } else { State::Valid }, readable_key(&paths.key))
    }
}

impl Look {
    /// Folders of the original, and of commands before there were lists, have none.
    fn revocation_lists(&self, directory: &CaDirectory) -> Option<Entry> {
        let path = directory.revocation_lists();
        if !path.exists() {
            return None;
        }
        let mut entry = Entry::new("crl", Kind::RevocationList, &path);
        let lists = match publish::read_lists(directory) {
            Ok(lists) => lists,
            Err(error) => return Some(entry.failed((State::CheckFailed, chain(&error)))),
        };
        let next_update = lists.next_update()?;
        let lifetime = Lifetime { not_before: Timestamp::UNIX_EPOCH, not_after: next_update };
        let days_left = lifetime.days_left(self.now);
        (entry.days_left, entry.not_after) = (Some(days_left), Some(next_update));
        entry.status = match lists.check_time(self.now) {
            Err(_) => State::Expired,
            // A list is replaced often; a month ahead would always be soon.
            Ok(()) if days_left < i64::from(self.soon).min(LIST_SOON) => State::ExpiresSoon,
            Ok(()) => State::Valid,
        };
        if entry.status != State::Valid {
            entry.problem = Some("sign it anew: vibectl-server ca crl".to_owned());
        }
        Some(entry)
    }
}

/// Days before its end at which a revocation list is about to be stale.
const LIST_SOON: i64 = 7;

impl Entry {
    fn new(name: &str, kind: Kind, path: &Path) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            status: State::Valid,
            path: path.to_owned(),
            days_left: None,
            not_after: None,
            names: Vec::new(),
            fingerprint_sha256: None,
            problem: None,
        }
    }

    fn failed(self, (status, problem): (State, String)) -> Self {
        Self { status, problem: Some(problem), ..self }
    }
}

fn bundle(directory: &CaDirectory, authorities: &[&Chain]) -> Entry {
    let path = directory.bundle();
    let entry = Entry::new("ca-bundle", Kind::Bundle, &path);
    let bundle = match read(&path) {
        Ok(text) => TrustBundle::from_pem(&text).map_err(|error| (State::CheckFailed, error.to_string())),
        Err(failure) => Err(failure),
    };
    match bundle {
        Ok(bundle) if authorities.iter().all(|ca| bundle.certificates().contains(ca.leaf())) => entry,
        Ok(_) => entry.failed((State::CheckFailed, "does not hold the root and the intermediate".to_owned())),
        Err(failure) => entry.failed(failure),
    }
}

fn hangs_from(chain: &Chain, issuers: &[&Chain]) -> bool {
    let certificates = std::iter::once(chain.leaf()).chain(issuers.iter().map(|issuer| issuer.leaf()));
    Chain::new(certificates.cloned().collect()).is_ok_and(|chain| chain.check_order().is_ok())
}

/// The root's key may be kept elsewhere; the others are needed here.
fn check_key(kind: Kind, chain: &Chain, path: &Path) -> Result<(), String> {
    if kind == Kind::Root && !path.exists() {
        return Ok(());
    }
    let text = read(path).map_err(|(_, problem)| format!("its key: {problem}"))?;
    let key = PrivateKey::from_pem(&text).map_err(|error| error.to_string())?;
    match chain_matches_key(chain, &key) {
        Ok(true) => Ok(()),
        _ => Err("its key belongs to another certificate".to_owned()),
    }
}

/// A warning, not a failure: the certificate is good, but perhaps not only its owner has the key.
fn readable_key(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then(|| format!("others may read its key (mode {mode:04o})"))
}

/// The first certificate of a file, as a chain of one.
fn first_certificate(path: &Path) -> Result<Chain, (State, String)> {
    let wrong = |error: vibectl_pki::CertificateError| (State::CheckFailed, error.to_string());
    let chain = Chain::from_pem(&read(path)?).map_err(wrong)?;
    Chain::new(vec![chain.leaf().clone()]).map_err(wrong)
}

fn read(path: &Path) -> Result<Zeroizing<String>, (State, String)> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err((State::Missing, format!("{} is missing", path.display())))
        }
        Err(error) => Err((State::CheckFailed, error.to_string())),
    }
}
