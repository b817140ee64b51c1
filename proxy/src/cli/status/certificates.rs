//! The certificates in the files of a server, and how long they last.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use vibectl_pki::{CertificateFacts, Chain, PrivateKey, leaf::chain_matches_key};
use zeroize::Zeroizing;

use crate::cli::alone::Alone;
use crate::tls::ca_directory::{CaDirectory, PairPath};

/// One certificate.
#[derive(Debug, Serialize)]
pub(super) struct Certificate {
    /// What it is for.
    pub(super) purpose: &'static str,
    pub(super) path: PathBuf,
    pub(super) names: Vec<String>,
    pub(super) days_left: Option<i64>,
    pub(super) not_after: Option<String>,
    /// SHA-256 of the public key, base64: what a client may pin.
    pub(super) public_key_pin: Option<String>,
    pub(super) problem: Option<String>,
}

/// Looks at every certificate that belongs to the server.
pub(super) fn look(alone: &Alone, now: Timestamp, days: u32, problems: &mut Vec<String>) -> Vec<Certificate> {
    let look = |(purpose, paths): (&'static str, PairPath)| Certificate::read(purpose, &paths, now, days);
    let certificates: Vec<Certificate> = places(alone).into_iter().map(look).collect();
    let wrong = certificates.iter().filter_map(|one| Some((one, one.problem.as_ref()?)));
    problems.extend(wrong.map(|(one, problem)| format!("{}: {problem}", one.path.display())));
    certificates
}

/// What the config names, whether it is there or not, and what is in the server's directory.
fn places(alone: &Alone) -> Vec<(&'static str, PairPath)> {
    let tls = &alone.config.tls;
    let mut places = Vec::new();
    if let (Some(certificate), Some(key)) = (&tls.cert_file, &tls.key_file) {
        places.push(("serving", PairPath { certificate: certificate.clone(), key: key.clone() }));
    }
    let folder = alone.folder();
    let pair = |folder: &Path, name: &str| PairPath {
        certificate: folder.join(format!("{name}.crt")),
        key: folder.join(format!("{name}.key")),
    };
    let mut found = Vec::new();
    if let Some(folder) = folder {
        found.push(("self-signed", pair(&folder.join("certs"), "server")));
        let acme = folder.join("acme-certs");
        found.extend(stems(&acme).iter().map(|name| ("acme", pair(&acme, name))));
        let ca = CaDirectory::new(folder.join("ca"));
        found.extend([("root CA", ca.root()), ("intermediate CA", ca.intermediate())]);
        found.extend(ca.issued().into_iter().map(|issued| ("issued by the CA", issued.paths)));
    }
    places.extend(found.into_iter().filter(|(_, paths)| paths.certificate.exists()));
    places
}

/// The names of the certificates in a folder, in order.
fn stems(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut stems: Vec<String> = entries
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".crt")?.to_owned()))
        .collect();
    stems.sort();
    stems
}

impl Certificate {
    fn read(purpose: &'static str, paths: &PairPath, now: Timestamp, days: u32) -> Self {
        let unknown = Self {
            purpose,
            path: paths.certificate.clone(),
            names: Vec::new(),
            days_left: None,
            not_after: None,
            public_key_pin: None,
            problem: None,
        };
        let read = fs::read_to_string(&paths.certificate).map_err(|error| error.to_string());
        let chain = read.and_then(|text| Chain::from_pem(&text).map_err(|error| error.to_string()));
        let known = chain.and_then(|chain| Ok((chain.facts().map_err(|error| error.to_string())?, chain)));
        match known {
            Err(problem) => Self { problem: Some(problem), ..unknown },
            Ok((facts, chain)) => Self {
                problem: of_time(&facts, now, days).or_else(|| of_key(purpose, &chain, &paths.key)),
                days_left: Some(facts.days_left(now)),
                not_after: Some(facts.lifetime.not_after.to_string()),
                names: facts.names,
                public_key_pin: Some(facts.public_key_pin),
                ..unknown
            },
        }
    }
}

fn of_time(facts: &CertificateFacts, now: Timestamp, days: u32) -> Option<String> {
    let lifetime = &facts.lifetime;
    if now < lifetime.not_before {
        return Some(format!("is not valid before {}", lifetime.not_before));
    }
    match facts.days_left(now) {
        _ if now >= lifetime.not_after => Some(format!("has expired on {}", lifetime.not_after)),
        left if left < i64::from(days) && now >= lifetime.overdue_at() => {
            Some(format!("expires in {left} days"))
        }
        _ => None,
    }
}

/// The key of a root may be kept elsewhere.
fn of_key(purpose: &str, chain: &Chain, path: &Path) -> Option<String> {
    if purpose == "root CA" && !path.exists() {
        return None;
    }
    let text = match fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => text,
        Err(error) => return Some(format!("its key {}: {error}", path.display())),
    };
    match PrivateKey::from_pem(&text).map(|key| chain_matches_key(chain, &key)) {
        Ok(Ok(true)) => None,
        Ok(Ok(false)) => Some(format!("its key {} belongs to another certificate", path.display())),
        Ok(Err(error)) => Some(error.to_string()),
        Err(error) => Some(format!("its key {}: {error}", path.display())),
    }
}
