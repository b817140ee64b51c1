//! Proxies and their surroundings for tests.

pub(crate) mod server;

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use vibectl_config::mount::{CA_FILE, CERTIFICATE_FILE, KEY_FILE, REVISION_KEY_FILE, RevisionKey};
use vibectl_pki::{Ca, IssueRequest, Names, Subject, Usage};
use zeroize::Zeroizing;

use crate::{
    api::LlmProxy,
    llm_proxy::{
        authority::{Authority, Wanted, authority, self_signed},
        build::{Inputs, Prepared, Resources, build},
        dereference::{Lookup, Referenced, named_keys},
        validate::{TlsMode, ValidatedProxy, validate},
    },
};

/// Every fixture in `tests/fixtures`.
pub(crate) const ALL: [&str; 12] = [
    "minimal",
    "plaintext",
    "providers",
    "own_certificate",
    "own_ca",
    "self_signed",
    "cert_manager",
    "migration",
    "acme",
    "anthropic",
    "clouds",
    "long_name",
];

/// The time of all tests.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

/// The proxy of this fixture.
pub(crate) fn proxy(name: &str) -> LlmProxy {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{name}.yaml"));
    serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Everything that the proxy names, as it should be.
pub(crate) fn complete(proxy: &LlmProxy) -> Referenced {
    let (certificate, key, ca) = match &proxy.spec.tls.private_ca {
        Some(_) => supplied_ca(),
        None => serving_pair(),
    };
    named_keys(proxy)
        .into_iter()
        .map(|named| {
            let content = match named.key.as_str() {
                CERTIFICATE_FILE => certificate.clone(),
                KEY_FILE => key.clone(),
                CA_FILE => ca.clone(),
                "hmac" => "aG1hYyBrZXk".to_owned(),
                _ => format!("{}/{} of at least 32 bytes", named.name, named.key),
            };
            (named, Lookup::Found(Zeroizing::new(content.into_bytes())))
        })
        .collect()
}

/// Everything that the proxy names, with this content.
pub(crate) fn with_content(proxy: &LlmProxy, content: &[u8]) -> Referenced {
    let found = |key| (key, Lookup::Found(Zeroizing::new(content.to_vec())));
    named_keys(proxy).into_iter().map(found).collect()
}

/// The proxy of this fixture, valid and complete.
pub(crate) fn validated(name: &str) -> ValidatedProxy {
    let proxy = proxy(name);
    validate(&proxy, &complete(&proxy)).unwrap()
}

/// What building needs beside the proxy.
pub(crate) fn inputs(proxy: &ValidatedProxy) -> Inputs {
    let identity = [CERTIFICATE_FILE, KEY_FILE, CA_FILE, REVISION_KEY_FILE];
    Inputs {
        server_image: "registry.example.org/vibectl-server:1.2.3".to_owned(),
        operator_namespace: "vibectl-system".to_owned(),
        jwks: r#"{"keys":[]}"#.to_owned(),
        issuers: None,
        access_shards: [0_u8, 1, 2, 3].map(|shard| vec![shard; 8]),
        fleet_identity: identity.map(|key| (key.to_owned(), ByteString(key.into()))).into(),
        revision_key: RevisionKey::new([7; 32]),
        authority: kept_authority(proxy),
        acme: None,
    }
}

fn kept_authority(proxy: &ValidatedProxy) -> Option<Authority> {
    let wanted = |terms| Wanted {
        name: &proxy.name,
        names: &proxy.certificate_names,
        terms,
        distrusted: None,
        users: &|_| Vec::new(),
        now: now(),
    };
    match &proxy.tls {
        TlsMode::PrivateCa(terms, supplied) => {
            let supplied = supplied.as_ref().map(|supplied| Ok(supplied.as_deref().unwrap()));
            Some(authority(None, supplied, &wanted(*terms)).unwrap())
        }
        TlsMode::SelfSigned(terms, policy) => Some(self_signed(None, *policy, &wanted(*terms)).unwrap()),
        _ => None,
    }
}

/// The objects of this fixture.
pub(crate) fn resources(name: &str) -> Resources<Prepared> {
    let proxy = validated(name);
    build(&proxy, &inputs(&proxy)).unwrap()
}

/// Certificate, key and CA bundle as PEM.
pub(crate) fn serving_pair() -> (String, String, String) {
    let names = Names::parse(["team.ai.svc"]).unwrap();
    let validity = Duration::from_secs(30 * 24 * 3600);
    let ca = Ca::constrained("test", &names, validity, now()).unwrap();
    let request = IssueRequest { names: &names, usage: Usage::Server, validity, now: now() };
    let leaf = ca.issue(&request).unwrap();
    (leaf.chain_pem(), leaf.key_pem().to_string(), ca.chain_pem())
}

/// Certificate, key and root of a CA as PEM.
pub(crate) fn supplied_ca() -> (String, String, String) {
    let subject = |name: &str| Subject { common_name: name.to_owned(), organization: None, country: None };
    let validity = Duration::from_secs(3650 * 24 * 3600);
    let root = Ca::root(&subject("root"), validity, now()).unwrap();
    let ca = root.intermediate(&subject("of the team"), validity, now()).unwrap();
    (ca.chain_pem(), ca.key_pem().to_string(), root.chain_pem())
}

/// Data whose values do not matter.
pub(crate) fn hidden<V>(data: &mut Option<BTreeMap<String, V>>, hidden: impl Fn() -> V) {
    data.iter_mut().flatten().for_each(|(_, value)| *value = hidden());
}
