//! Private keys that the operator makes and keeps in its own namespace.
//!
//! - [`signing`]: one Secret per LlmProxy with the keys that sign its tokens.
//! - [`fleet_ca`]: the CA of the fleet ports, and the operator's own identity.
//! - [`fleet_identity`]: the identity of one proxy's fleet port.
//! - [`cluster_issuer`]: no key of ours, but the public keys of the cluster's service accounts.
//! - [`sweep`]: removes what belongs to LlmProxies that are gone.
//!
//! Generated keys are created, or replaced by naming the version that was read. They are never applied by force: of two
//! processes that both believe to lead, one gets a conflict, so there are never two first keys.

use kube::ResourceExt;
use vibectl_pki::{CaError, IssueError};
use vibectl_token::KeyError;

use crate::{
    access::Lives,
    api::LlmProxy,
    context::Context,
    keys::{fleet_identity::FleetIdentity, signing::Signing},
};

pub mod cluster_issuer;
pub mod fleet_ca;
pub mod fleet_identity;
pub mod own_secret;
pub mod signing;
pub mod sweep;

/// Everything that the pods of one LlmProxy need of our keys.
#[derive(Debug)]
pub struct ProxyKeys {
    /// The keys that sign tokens.
    pub signing: Signing,
    /// The identity of the fleet port.
    pub fleet: FleetIdentity,
}

/// Why keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The API server failed, or somebody else wrote first.
    #[error("failed to reach the key Secret: {0}")]
    Api(#[source] Box<kube::Error>),
    /// Another process wrote the Secret first; the next attempt reads what it wrote.
    #[error("the key Secret was written by another process first")]
    Conflict,
    /// A Secret of ours holds something else than we write. Never replaced by itself: that would end every token.
    #[error("the Secret {name} in the operator's namespace cannot be read: {problem}")]
    Unreadable {
        /// Name of the Secret.
        name: String,
        /// What is wrong with it, without its content.
        problem: String,
    },
    /// A Secret of a name that we need has not been made by us.
    #[error("the Secret {0} in the operator's namespace is not ours")]
    Foreign(String),
    /// A signing key cannot be made or written.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The fleet CA cannot be made.
    #[error("failed to make the fleet CA: {0}")]
    Ca(#[from] CaError),
    /// The fleet CA cannot issue.
    #[error("failed to issue a fleet identity: {0}")]
    Issue(#[from] IssueError),
    /// The random generator of the system failed.
    #[error("failed to draw random bytes")]
    Random,
    /// The object has no UID or namespace: it did not come from an API server.
    #[error("the object has no identity")]
    NoIdentity,
}

impl From<kube::Error> for KeysError {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.is_conflict() || status.is_already_exists() => Self::Conflict,
            _ => Self::Api(Box::new(error)),
        }
    }
}

/// The keys of this LlmProxy: made where there are none, moved on in their life where that is due. They last as long as
/// its credentials need them.
pub async fn for_proxy(context: &Context, proxy: &LlmProxy, lives: &Lives) -> Result<ProxyKeys, KeysError> {
    let uid = proxy.uid().ok_or(KeysError::NoIdentity)?;
    let signing = signing::advance(context, proxy, &uid, lives).await?;
    let authority = fleet_ca::ensure(context).await?;
    let fleet = fleet_identity::of(context, proxy, &uid, &authority)?;
    Ok(ProxyKeys { signing, fleet })
}
