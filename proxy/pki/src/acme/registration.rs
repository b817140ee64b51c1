//! Makes an account for a key that is stored already (RFC 8555, 7.3). Ours and not `instant-acme`'s, which draws the key
//! itself wherever contact or external account are given: a crash before it is stored would lose the account, and with it
//! an external key that can be used once only.
//!
//! Asking again with the same key yields the same account, so a crash in between costs nothing.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{Method, Request};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient, Problem};
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Settings;
use super::jws::AccountKey;
use super::transport::Transport;

/// What registration needs of the directory (RFC 8555, 7.1.1).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Directory {
    new_nonce: String,
    new_account: String,
    #[serde(default)]
    meta: Meta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    terms_of_service: Option<String>,
    #[serde(default)]
    external_account_required: bool,
}

/// Why there is no account.
#[derive(Debug, thiserror::Error)]
pub(super) enum RegistrationError {
    #[error(
        "the ACME server has terms of service ({0}); accept them with acme.agree_tos: true or --agree-tos"
    )]
    Terms(String),
    #[error(
        "the ACME server wants an external account; its owner hands out a key for acme.eab.kid and acme.eab.hmac_key_file"
    )]
    ExternalAccountRequired,
    #[error("the ACME server refuses the external account (acme.eab): {0}")]
    ExternalAccount(String),
    #[error("the stored account key cannot be used")]
    Key,
    #[error(transparent)]
    Protocol(#[from] Error),
}

/// The URL of the account of this key; it is made if there is none.
pub(super) async fn register(
    transport: &Transport,
    settings: &Settings,
    key: &PrivatePkcs8KeyDer<'_>,
) -> Result<String, RegistrationError> {
    let key = AccountKey::new(key).map_err(|_| RegistrationError::Key)?;
    let directory: Directory = serde_json::from_slice(&get(transport, &settings.directory_url).await?)
        .map_err(|error| RegistrationError::Protocol(error.into()))?;
    if let (false, Some(terms)) = (settings.terms_agreed, &directory.meta.terms_of_service) {
        return Err(RegistrationError::Terms(terms.clone()));
    }
    if directory.meta.external_account_required && settings.external_account.is_none() {
        return Err(RegistrationError::ExternalAccountRequired);
    }
    let payload = payload(settings, &key, &directory.new_account);
    loop {
        let nonce = nonce(transport, &directory.new_nonce).await?;
        let body = key.new_account(&directory.new_account, &nonce, &payload);
        let body = body.map_err(|_| RegistrationError::Key)?;
        match post(transport, &directory.new_account, body).await {
            Ok(url) => return Ok(url),
            Err(error) if transport.may_retry(&error) => {}
            Err(Error::Api(problem)) if settings.external_account.is_some() && is_refusal(&problem) => {
                return Err(RegistrationError::ExternalAccount(problem.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn payload(settings: &Settings, key: &AccountKey, url: &str) -> Value {
    let mut payload = json!({"termsOfServiceAgreed": settings.terms_agreed});
    if let Some(contact) = &settings.contact {
        payload["contact"] = json!([format!("mailto:{contact}")]);
    }
    if let Some(external) = &settings.external_account {
        payload["externalAccountBinding"] = key.bind(external, url);
    }
    payload
}

/// Errors that name no cause of their own. A rate limit or a nonce is not about the external account.
fn is_refusal(problem: &Problem) -> bool {
    let kind = problem.r#type.as_deref().unwrap_or_default().rsplit(':').next().unwrap_or_default();
    matches!(kind, "unauthorized" | "malformed" | "externalAccountRequired")
}

async fn get(transport: &Transport, url: &str) -> Result<Bytes, Error> {
    let request = Request::builder().uri(url).body(BodyWrapper::default())?;
    checked(transport.request(request).await?).await.map(|(_, body)| body)
}

async fn nonce(transport: &Transport, url: &str) -> Result<String, Error> {
    let request = Request::builder().method(Method::HEAD).uri(url).body(BodyWrapper::default())?;
    let (parts, _) = checked(transport.request(request).await?).await?;
    let nonce = parts.headers.get("replay-nonce").and_then(|value| value.to_str().ok());
    nonce.map(str::to_owned).ok_or(Error::Str("the ACME server sent no nonce"))
}

async fn post(transport: &Transport, url: &str, body: Vec<u8>) -> Result<String, Error> {
    let request = Request::builder().method(Method::POST).uri(url);
    let request = request.header(CONTENT_TYPE, "application/jose+json").body(BodyWrapper::from(body))?;
    let (parts, _) = checked(transport.request(request).await?).await?;
    let location = parts.headers.get(LOCATION).and_then(|value| value.to_str().ok());
    location.map(str::to_owned).ok_or(Error::Str("the ACME server sent no account URL"))
}

async fn checked(response: BytesResponse) -> Result<(http::response::Parts, Bytes), Error> {
    let BytesResponse { parts, mut body } = response;
    let body = body.into_bytes().await.map_err(Error::Other)?;
    if parts.status.is_success() {
        return Ok((parts, body));
    }
    Err(Error::Api(serde_json::from_slice::<Problem>(&body)?))
}
