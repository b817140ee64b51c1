//! The CA of all fleet ports and the operator's own identity, in the Secret `vibectl-fleet-ca`.
//!
//! The CA can issue for names below `fleet.vibectl.dev` only, so that its key is worth nothing elsewhere.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt;
use vibectl_pki::{Ca, IssueRequest, Leaf, Names, TrustBundle, Usage};

use super::{
    KeysError,
    own_secret::{self, Data},
};
use crate::{context::Context, names::FLEET_CA_SECRET};

/// Every name of the fleet is below this one.
const FLEET_DOMAIN: &str = "fleet.vibectl.dev";
const OPERATOR_NAME: &str = "operator.fleet.vibectl.dev";
const CA_VALIDITY: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Of the operator's and of each proxy's certificate; renewed when two thirds have passed.
pub(super) const LEAF_VALIDITY: Duration = Duration::from_secs(90 * 86_400);

const CA_CERTIFICATE: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// Issues fleet identities.
#[derive(Debug)]
pub struct FleetAuthority {
    /// The CA.
    pub ca: Ca,
    /// What the operator shows to pods.
    pub identity: OperatorIdentity,
}

/// What the operator shows, and whom it trusts.
#[derive(Debug)]
pub struct OperatorIdentity {
    /// Its certificate and key.
    pub leaf: Leaf,
    /// The fleet CA.
    pub trust: TrustBundle,
}

/// The fleet CA; made where there is none, with the operator's certificate renewed where that is due.
pub async fn ensure(context: &Context) -> Result<FleetAuthority, KeysError> {
    let now = context.now();
    let Some(secret) = own_secret::read(context, FLEET_CA_SECRET).await? else {
        let names = parsed(FLEET_DOMAIN)?;
        let ca = Ca::constrained("vibectl fleet", &names, CA_VALIDITY, now)?;
        let data = data(&ca, &issue(&ca, now)?);
        let secret =
            own_secret::create(context, FLEET_CA_SECRET, BTreeMap::new(), BTreeMap::new(), data).await?;
        tracing::info!("made the fleet CA");
        return read(&secret);
    };
    let authority = read(&secret)?;
    if authority.identity.leaf.facts().lifetime.renew_at() > now {
        return Ok(authority);
    }
    let data = data(&authority.ca, &issue(&authority.ca, now)?);
    let secret = own_secret::replace(context, &secret, data).await?;
    tracing::info!("renewed the operator's fleet certificate");
    read(&secret)
}

/// The operator's identity as the cache has it, with the version of the Secret; `None` before it was made.
pub fn cached(context: &Context) -> Result<Option<(OperatorIdentity, String)>, KeysError> {
    let namespace = &context.settings.operator_namespace;
    let Some(secret) = context.stores.own_secrets.get(namespace, FLEET_CA_SECRET) else { return Ok(None) };
    let version = secret.resource_version().unwrap_or_default();
    Ok(Some((read(&secret)?.identity, version)))
}

fn read(secret: &Secret) -> Result<FleetAuthority, KeysError> {
    let unreadable = |problem: String| KeysError::Unreadable { name: secret.name_any(), problem };
    let certificate = own_secret::text(secret, CA_CERTIFICATE)?;
    let ca = Ca::from_pem(certificate, own_secret::text(secret, CA_KEY)?)?;
    let leaf = Leaf::from_pem(own_secret::text(secret, CERTIFICATE)?, own_secret::text(secret, KEY)?)
        .map_err(|error| unreadable(error.to_string()))?;
    let trust = TrustBundle::from_pem(certificate).map_err(|error| unreadable(error.to_string()))?;
    Ok(FleetAuthority { ca, identity: OperatorIdentity { leaf, trust } })
}

fn issue(ca: &Ca, now: jiff::Timestamp) -> Result<Leaf, KeysError> {
    let names = parsed(OPERATOR_NAME)?;
    Ok(ca.issue(&IssueRequest { names: &names, usage: Usage::Client, validity: LEAF_VALIDITY, now })?)
}

fn data(ca: &Ca, leaf: &Leaf) -> Data {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    BTreeMap::from([
        (CA_CERTIFICATE.to_owned(), bytes(&ca.chain_pem())),
        (CA_KEY.to_owned(), bytes(&ca.key_pem())),
        (CERTIFICATE.to_owned(), bytes(&leaf.chain_pem())),
        (KEY.to_owned(), bytes(&leaf.key_pem())),
    ])
}

pub(super) fn parsed(name: &str) -> Result<Names, KeysError> {
    Names::parse([name])
        .map_err(|error| KeysError::Unreadable { name: name.to_owned(), problem: error.to_string() })
}
