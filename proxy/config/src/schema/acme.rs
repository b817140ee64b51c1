//! `acme`: certificates from an ACME server.

mod dns;

use std::path::PathBuf;

use serde::Serialize;

pub use self::dns::{Dns, DnsHook, DnsUpdate, TsigAlgorithm};
use crate::decode::Cursor;

/// Let's Encrypt, whose certificates everybody trusts.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Its test environment, whose certificates nobody trusts.
const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";
/// Its terms of service.
const LETS_ENCRYPT_TERMS: &str = "https://letsencrypt.org/repository/";

/// Where certificates come from when they come from an ACME server, and how names are proven to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "keys of a file, each a decision of its own")]
pub struct Acme {
    /// Whether certificates come from an ACME server.
    pub enabled: bool,
    /// Contact of the account.
    pub email: Option<String>,
    /// The names of the certificate; the first is the name of its files.
    pub domains: Vec<String>,
    /// The ACME server.
    pub directory_url: String,
    /// Let's Encrypt's test environment in place of `directory_url`.
    pub staging: bool,
    /// Whether the terms of service of the ACME server are accepted.
    pub agree_tos: bool,
    /// The CA of the ACME server itself, PEM; absent: the well-known ones.
    pub ca_cert_file: Option<PathBuf>,
    /// Binds the account to one at the owner of the ACME server.
    pub eab: Option<Eab>,
    /// How names are proven.
    pub challenge: Challenge,
    /// How records are made for `dns-01`.
    pub dns: Option<Dns>,
    /// Whether certificates are renewed.
    pub auto_renew: bool,
    /// Where somebody else orders: the pending answers, which that one writes; the certificate is that of `tls.cert_file`.
    pub answers_file: Option<PathBuf>,
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            enabled: false,
            email: None,
            domains: Vec::new(),
            directory_url: LETS_ENCRYPT.to_owned(),
            staging: false,
            agree_tos: false,
            ca_cert_file: None,
            eab: None,
            challenge: Challenge::default(),
            dns: None,
            auto_renew: true,
            answers_file: None,
        }
    }
}

/// Keys of the original that nothing reads any more: key, what to know.
const RETIRED: [(&str, &str); 3] = [
    (
        "http_port",
        "without effect: nothing is probed before a challenge; the listener is acme.challenge.http_port",
    ),
    (
        "challenge_dir",
        "without effect, as in the original: answers are kept in acme/ of the server's config directory",
    ),
    (
        "renew_days_before_expiry",
        "without effect: renewed when the ACME server suggests it, or else when a third of the lifetime is left",
    ),
];

impl Acme {
    pub(super) fn decode(cursor: &Cursor<'_>) -> Self {
        let default = Self::default();
        let mut section = cursor.section();
        let acme = Self {
            enabled: section.read("enabled", Cursor::boolean).unwrap_or(default.enabled),
            email: section.read("email", Cursor::text),
            domains: section.decode("domains", Cursor::texts),
            directory_url: section.read("directory_url", Cursor::text).unwrap_or(default.directory_url),
            staging: section.read("staging", Cursor::boolean).unwrap_or(default.staging),
            agree_tos: section.read("agree_tos", Cursor::boolean).unwrap_or(default.agree_tos),
            ca_cert_file: section.read("ca_cert_file", Cursor::path),
            eab: section.read("eab", |cursor| Some(Eab::decode(cursor))),
            challenge: section.decode("challenge", Challenge::decode),
            dns: section.read("dns", Dns::decode),
            auto_renew: section.read("auto_renew", Cursor::boolean).unwrap_or(default.auto_renew),
            answers_file: section.read("answers_file", Cursor::path),
        };
        for (key, why) in RETIRED {
            section.retired(key, why, |_| Some(()));
        }
        section.finish();
        acme
    }

    /// The directory of the ACME server.
    pub fn directory(&self) -> &str {
        if self.staging { LETS_ENCRYPT_STAGING } else { &self.directory_url }
    }

    /// What keeps a section that is enabled from being used: key and way out.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut problem = |key, text: String| problems.push((key, text));
        if !self.email.as_deref().is_some_and(is_address) {
            problem("acme.email", "expected an e-mail address, for notices of the ACME server".to_owned());
        }
        if self.domains.is_empty() {
            problem("acme.domains", "expected at least one name".to_owned());
        }
        if self.staging && self.directory_url != LETS_ENCRYPT {
            problem("acme.staging", "contradicts acme.directory_url; leave one of them out".to_owned());
        }
        if self.answers_file.is_some() {
            let text = "for a server whose certificate somebody else orders; leave it out with acme.enabled";
            problem("acme.answers_file", text.to_owned());
        }
        if !self.agree_tos {
            problem("acme.agree_tos", self.terms());
        }
        match (self.challenge.kind, &self.dns) {
            (ChallengeType::Dns01, None) => {
                problem("acme.dns", "missing: dns-01 needs acme.dns.rfc2136 or acme.dns.exec".to_owned());
            }
            (ChallengeType::Http01 | ChallengeType::TlsAlpn01, _)
                if self.domains.iter().any(|name| name.starts_with("*.")) =>
            {
                problem("acme.challenge.type", "a name with * can be proven by dns-01 only".to_owned());
            }
            _ => {}
        }
        problems
    }

    fn terms(&self) -> String {
        let directory = self.directory();
        let terms = if [LETS_ENCRYPT, LETS_ENCRYPT_STAGING].contains(&directory) {
            LETS_ENCRYPT_TERMS.to_owned()
        } else {
            format!("meta.termsOfService in {directory}")
        };
        format!(
            "accept the terms of service of the ACME server ({terms}) with agree_tos: true or --agree-tos"
        )
    }
}

/// Something with an @ in it that a header or a log line can carry; who reads the notices finds out the rest.
fn is_address(text: &str) -> bool {
    let parts = text.split_once('@');
    parts.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b",<>?".contains(&byte))
}

serialize_differences!(Acme {
    enabled,
    email,
    domains,
    directory_url,
    staging,
    agree_tos,
    ca_cert_file,
    eab,
    challenge,
    dns,
    auto_renew,
    answers_file,
});

/// An external account (RFC 8555, 7.3.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Eab {
    /// Name of the key that the owner of the ACME server handed out.
    pub kid: String,
    /// File with that key, in base64url as it is handed out.
    pub hmac_key_file: PathBuf,
}

impl Eab {
    fn decode(cursor: &Cursor<'_>) -> Self {
        let mut section = cursor.section();
        let eab = Self {
            kid: section.required("kid", Cursor::text).unwrap_or_default(),
            hmac_key_file: section.required("hmac_key_file", Cursor::path).unwrap_or_default(),
        };
        section.finish_with(&[("hmac_key", "secrets are not part of the config: use hmac_key_file")]);
        eab
    }
}

/// How names are proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The kind of proof; `type` in the file.
    pub kind: ChallengeType,
    /// Address of the HTTP-01 listener.
    pub http_host: String,
    /// Port of the HTTP-01 listener.
    pub http_port: u16,
}

impl Default for Challenge {
    fn default() -> Self {
        Self { kind: ChallengeType::Http01, http_host: "0.0.0.0".to_owned(), http_port: 80 }
    }
}

impl Challenge {
    fn decode(cursor: &Cursor<'_>) -> Self {
        let default = Self::default();
        let mut section = cursor.section();
        let challenge = Self {
            kind: section.read("type", |cursor| cursor.choice(&ChallengeType::NAMES)).unwrap_or(default.kind),
            http_host: section.read("http_host", Cursor::host).unwrap_or(default.http_host),
            http_port: section.read("http_port", Cursor::port).unwrap_or(default.http_port),
        };
        section.finish();
        challenge
    }
}

serialize_differences!(Challenge { kind as "type", http_host, http_port });

/// The kinds of proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum ChallengeType {
    /// A file served over plain HTTP.
    #[default]
    #[serde(rename = "http-01")]
    Http01,
    /// A certificate served during a handshake.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// A DNS record.
    #[serde(rename = "dns-01")]
    Dns01,
}

impl ChallengeType {
    /// Every kind with its name.
    pub const NAMES: [(&'static str, Self); 3] =
        [("http-01", Self::Http01), ("tls-alpn-01", Self::TlsAlpn01), ("dns-01", Self::Dns01)];
}
