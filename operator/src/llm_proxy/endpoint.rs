//! Where clients find a proxy.

use kube::ResourceExt;

use crate::{api::LlmProxy, names::ProxyNames};

/// The address of an endpoint, for clients inside the cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// A name of the certificate: that of the Service, good in every namespace, or else the first host that is no wildcard.
    pub host: String,
    /// Its port.
    pub port: i32,
    /// Whether it speaks TLS.
    pub encrypted: bool,
}

impl Endpoint {
    /// The endpoint of this proxy.
    pub fn of(proxy: &LlmProxy) -> Self {
        let service = ProxyNames::of(&proxy.name_any()).base();
        let own = || format!("{service}.{}.svc", proxy.namespace().unwrap_or_default());
        let spec = &proxy.spec;
        let mut hosts =
            spec.hosts.iter().filter(|host| !host.starts_with("*.") && !spec.tls.has_service_names());
        Self {
            host: hosts.next().cloned().unwrap_or_else(own),
            port: proxy.spec.service.port,
            encrypted: proxy.spec.tls.plaintext.is_none(),
        }
    }

    /// As a URL for HTTP clients.
    pub fn url(&self) -> String {
        let scheme = if self.encrypted { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }

    /// As the address that `vibectl` takes.
    pub fn vibectl_url(&self) -> String {
        let scheme = if self.encrypted { "vibectl-server" } else { "vibectl-server-insecure" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}
