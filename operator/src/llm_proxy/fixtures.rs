//! Proxies and their surroundings for tests.

pub(crate) mod server;

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use vibectl_config::mount::{CA_FILE, CERTIFICATE_FILE, KEY_FILE, REVISION_KEY_FILE, RevisionKey};
use vibectl_pki::{Ca, IssueRequest, Names, Usage};
use zeroize::Zeroizing;

use crate::{
    api::LlmProxy,
    llm_proxy::{
        authority::authority,
        build::{Inputs, Prepared, Resources, build},
        dereference::{Lookup, Referenced, named_keys},
        validate::{TlsMode, ValidatedProxy, validate},
    },
};

/// Every fixture in `tests/fixtures`.
pub(crate) const ALL: [&str; 6] =
    ["minimal", "plaintext", "providers", "own_certificate", "cert_manager", "long_name"];

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
    let (certificate, key, ca) = serving_pair();
    named_keys(proxy)
        .into_iter()
        .map(|named| {
            let content = match named.key.as_str() {
                CERTIFICATE_FILE => certificate.clone(),
                KEY_FILE => key.clone(),
                CA_FILE => ca.clone(),
                _ => format!("{}/{}", named.name, named.key),
            };
            (named, Lookup::Found(Zeroizing::new(content.into_bytes())))
        })
        .collect()
}

/// The proxy of this fixture, valid and complete.
pub(crate) fn validated(name: &str) -> ValidatedProxy {
    let proxy = proxy(name);
    validate(&proxy, &complete(&proxy)).unwrap()
}

/// What building needs beside the proxy.
pub(crate) fn inputs(proxy: &ValidatedProxy) -> Inputs {
    let private = matches!(proxy.tls, TlsMode::PrivateCa);
    let identity = [CERTIFICATE_FILE, KEY_FILE, CA_FILE, REVISION_KEY_FILE];
    Inputs {
        server_image: "registry.example.org/vibectl-server:1.2.3".to_owned(),
        operator_namespace: "vibectl-system".to_owned(),
        jwks: r#"{"keys":[]}"#.to_owned(),
        access_shards: [0_u8, 1, 2, 3].map(|shard| vec![shard; 8]),
        fleet_identity: identity.map(|key| (key.to_owned(), ByteString(key.into()))).into(),
        revision_key: RevisionKey::new([7; 32]),
        authority: private.then(|| authority(&proxy.name, None, &proxy.certificate_names, now()).unwrap()),
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

/// Data whose values do not matter.
pub(crate) fn hidden<V>(data: &mut Option<BTreeMap<String, V>>, hidden: impl Fn() -> V) {
    data.iter_mut().flatten().for_each(|(_, value)| *value = hidden());
}
