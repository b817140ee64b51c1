//! The content of a `ProxyToken`'s Secret.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Secret;

/// Everything that a client gets.
#[derive(Clone)]
pub struct Credential {
    /// The signed token.
    pub token: String,
    /// As for `vibectl setup-proxy configure`.
    pub url: String,
    /// PEM of what to trust; none where none is needed.
    pub ca: Option<String>,
    /// Host of the URL.
    pub host: String,
    /// Port of the URL.
    pub port: u16,
}

impl Credential {
    /// Reads the keys `token`, `url` and `ca.crt`.
    ///
    /// # Errors
    /// When one is missing or the URL has no host and port.
    pub fn from_secret(secret: &Secret) -> Result<Self> {
        let data = secret.data.as_ref().context("the Secret is empty")?;
        let text = |key: &str| data.get(key).map(|value| String::from_utf8_lossy(&value.0).into_owned());
        let url = text("url").context("the Secret has no url")?;
        let (_, address) = url.split_once("://").context("the url has no scheme")?;
        let (host, port) = address.rsplit_once(':').context("the url has no port")?;
        Ok(Self {
            token: text("token").context("the Secret has no token")?,
            ca: text("ca.crt"),
            host: host.to_owned(),
            port: port.parse()?,
            url,
        })
    }
}
