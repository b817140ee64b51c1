//! The other issuers whose tokens the proxies of an LlmProxy judge: those that a row of its access table names, and no more. Pure.

use std::collections::BTreeSet;

use vibectl_token::{
    foreign::{Issuer, KeySource, parse_issuers, render_issuers},
    table::Row,
};

use crate::{
    api::{LlmProxy, access::OidcIssuer},
    names::CLUSTER_ISSUER,
};

/// Names of the issuers that these rows need.
pub fn named<'a>(rows: impl Iterator<Item = &'a Row>) -> BTreeSet<&'a str> {
    rows.flat_map(|row| &row.identities).map(|identity| identity.issuer.as_str()).collect()
}

/// The file for the proxies; none when no row needs another issuer.
pub fn file(
    proxy: &LlmProxy,
    named: &BTreeSet<&str>,
    cluster: Option<Issuer>,
) -> Result<Option<String>, serde_json::Error> {
    let configured = proxy.spec.access.issuers.iter().filter(|issuer| named.contains(issuer.name.as_str()));
    let cluster = cluster.filter(|_| named.contains(CLUSTER_ISSUER));
    let mut issuers = configured.map(oidc).collect::<Result<Vec<Issuer>, _>>()?;
    issuers.extend(cluster);
    issuers.sort_by(|one, other| one.name.cmp(&other.name));
    (!issuers.is_empty()).then(|| render_issuers(&issuers)).transpose()
}

/// What an earlier file says of the cluster's own issuer: good until something newer is known.
pub fn former_cluster_issuer(file: &str) -> Option<Issuer> {
    parse_issuers(file.as_bytes()).ok()?.into_iter().find(|issuer| issuer.name == CLUSTER_ISSUER)
}

fn oidc(issuer: &OidcIssuer) -> Result<Issuer, serde_json::Error> {
    let OidcIssuer { name, issuer, audiences, jwks, jwks_url, ca_bundle } = issuer.clone();
    let keys = match jwks {
        Some(keys) => KeySource::Inline(serde_json::from_str(&keys)?),
        None => jwks_url.map_or(KeySource::Discovery, KeySource::Url),
    };
    Ok(Issuer { name, issuer, audiences, keys, ca_bundle })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vibectl_token::{Algorithm, SigningKey};

    use super::*;
    use crate::keys::cluster_issuer::Known;

    fn proxy() -> LlmProxy {
        let issuer =
            |name: &str| json!({"name": name, "issuer": format!("https://{name}"), "audiences": ["llm"]});
        let object = json!({
            "apiVersion": "vibectl.dev/v1alpha1", "kind": "LlmProxy",
            "metadata": {"name": "team", "namespace": "ai", "uid": "p-uid"},
            "spec": {"access": {"issuers": [issuer("corp"), issuer("unused")]}},
        });
        serde_json::from_value(object).unwrap()
    }

    fn cluster() -> Issuer {
        let key = SigningKey::generate(Algorithm::Rs256).unwrap();
        let keys = json!({"keys": [serde_json::to_value(key.public_jwk()).unwrap()]});
        Known { issuer: "https://kubernetes.default.svc".to_owned(), keys }.for_proxy("ai", "team")
    }

    #[test]
    fn only_issuers_that_a_row_names_are_told_and_the_server_reads_them() {
        let file = file(&proxy(), &["corp", "kubernetes"].into(), Some(cluster())).unwrap().unwrap();

        let read = parse_issuers(file.as_bytes()).unwrap();

        assert_eq!(
            read.iter().map(|issuer| issuer.name.as_str()).collect::<Vec<_>>(),
            ["corp", "kubernetes"]
        );
        assert_eq!(read[1].audiences, ["vibectl.dev/ai/team"]);
        assert_eq!(former_cluster_issuer(&file), Some(read[1].clone()));
    }

    #[test]
    fn keys_that_are_written_down_are_not_fetched() {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let keys = json!({"keys": [serde_json::to_value(key.public_jwk()).unwrap()]});
        let mut proxy = proxy();
        proxy.spec.access.issuers[0].jwks = Some(keys.to_string());

        let file = file(&proxy, &["corp"].into(), None).unwrap().unwrap();

        assert_eq!(parse_issuers(file.as_bytes()).unwrap()[0].keys, KeySource::Inline(keys));
    }

    #[test]
    fn without_a_row_there_is_no_file() {
        assert_eq!(file(&proxy(), &BTreeSet::new(), Some(cluster())).unwrap(), None);
        assert_eq!(file(&proxy(), &["kubernetes"].into(), None).unwrap(), None);
    }
}
