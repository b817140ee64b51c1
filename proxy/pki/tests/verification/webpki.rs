//! The verifier of rustls, as a Rust client uses it.

use std::sync::Arc;

use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{ServerName, UnixTime},
};
use vibectl_pki::{Chain, TrustBundle};

pub(crate) fn accepts(anchors: &str, chain: &str, name: &str) -> bool {
    let mut roots = RootCertStore::empty();
    for anchor in TrustBundle::from_pem(anchors).expect("anchors").certificates() {
        roots.add(anchor.clone()).expect("an anchor");
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("verifier");

    let chain = Chain::from_pem(chain).expect("chain");
    let (leaf, issuers) = chain.certificates().split_first().expect("a leaf");
    let name = ServerName::try_from(name).expect("a name");
    verifier.verify_server_cert(leaf, issuers, &name, &[], UnixTime::now()).is_ok()
}
