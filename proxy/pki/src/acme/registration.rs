//! Makes an account for a key that is stored already (RFC 8555, 7.3). Ours and not `instant-acme`'s, which draws the key
//! itself wherever contact or external account are given: a crash before it is stored would lose the account, and with it
//! an external key that can be used once only.
//!
//! Asking again with the same key yields the same account, so a crash in between costs nothing. Changing the key is here for
//! the same reason.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{Method, Request};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient, Problem};
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Settings;
use super::jws::AccountKey;
use super::transport::{Transport, kind};

/// What registration needs of the directory (RFC 8555, 7.1.1).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Directory {
    new_nonce: String,
    new_account: String,
    key_change: Option<String>,
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
        "the ACME server wants an external account; its owner hands out a key for acme.eab.kid and acme.eab.hmac_key_file of a server, or spec.tls.acme.externalAccount of an LlmProxy"
    )]
    ExternalAccountRequired,
    #[error("the ACME server refuses the external account (acme.eab, or spec.tls.acme.externalAccount): {0}")]
    ExternalAccount(String),
    #[error("the stored account key cannot be used")]
    Key,
    #[error("the ACME server cannot change the key of an account")]
    NoKeyChange,
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
    let directory = directory(transport, settings).await?;
    if let (false, Some(terms)) = (settings.terms_agreed, &directory.meta.terms_of_service) {
        return Err(RegistrationError::Terms(terms.clone()));
    }
    if directory.meta.external_account_required && settings.external_account.is_none() {
        return Err(RegistrationError::ExternalAccountRequired);
    }
    let payload = payload(settings, &key, &directory.new_account);
    match send(transport, &directory, &key, &payload).await {
        Err(RegistrationError::Protocol(Error::Api(problem)))
            if settings.external_account.is_some() && is_refusal(&problem) =>
        {
            Err(RegistrationError::ExternalAccount(problem.to_string()))
        }
        outcome => outcome,
    }
}

/// The URL of the account that has this key, if there is one. None is made.
pub(super) async fn find(
    transport: &Transport,
    settings: &Settings,
    key: &PrivatePkcs8KeyDer<'_>,
) -> Result<Option<String>, RegistrationError> {
    let key = AccountKey::new(key).map_err(|_| RegistrationError::Key)?;
    let directory = directory(transport, settings).await?;
    match send(transport, &directory, &key, &json!({"onlyReturnExisting": true})).await {
        Err(RegistrationError::Protocol(Error::Api(problem))) if kind(&problem) == "accountDoesNotExist" => {
            Ok(None)
        }
        found => found.map(Some),
    }
}

/// Puts `new` in the place of `old` at the server.
pub(super) async fn change_key(
    transport: &Transport,
    settings: &Settings,
    account: &str,
    old: &PrivatePkcs8KeyDer<'_>,
    new: &PrivatePkcs8KeyDer<'_>,
) -> Result<(), RegistrationError> {
    let key = |der| AccountKey::new(der).map_err(|_| RegistrationError::Key);
    let (old, new) = (key(old)?, key(new)?);
    let directory = directory(transport, settings).await?;
    let url = directory.key_change.as_deref().ok_or(RegistrationError::NoKeyChange)?;
    loop {
        let nonce = nonce(transport, &directory.new_nonce).await?;
        let body = old.key_change(&new, account, url, &nonce).map_err(|_| RegistrationError::Key)?;
        match post(transport, url, body).await {
            Err(error) if transport.may_retry(&error) => {}
            outcome => return Ok(outcome.map(drop)?),
        }
    }
}

async fn directory(transport: &Transport, settings: &Settings) -> Result<Directory, Error> {
    Ok(serde_json::from_slice(&get(transport, &settings.directory_url).await?)?)
}

/// Asks for the account of a key, and returns its URL.
async fn send(
    transport: &Transport,
    directory: &Directory,
    key: &AccountKey,
    payload: &Value,
) -> Result<String, RegistrationError> {
    loop {
        let nonce = nonce(transport, &directory.new_nonce).await?;
        let body = key.new_account(&directory.new_account, &nonce, payload);
        let body = body.map_err(|_| RegistrationError::Key)?;
        match post(transport, &directory.new_account, body).await {
            Err(error) if transport.may_retry(&error) => {}
            Ok(parts) => {
                let location = parts.headers.get(LOCATION).and_then(|value| value.to_str().ok());
                return location.map(str::to_owned).ok_or_else(|| NO_URL.into());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

const NO_URL: Error = Error::Str("the ACME server sent no account URL");

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
    matches!(kind(problem), "unauthorized" | "malformed" | "externalAccountRequired")
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

async fn post(transport: &Transport, url: &str, body: Vec<u8>) -> Result<http::response::Parts, Error> {
    let request = Request::builder().method(Method::POST).uri(url);
    let request = request.header(CONTENT_TYPE, "application/jose+json").body(BodyWrapper::from(body))?;
    checked(transport.request(request).await?).await.map(|(parts, _)| parts)
}

async fn checked(response: BytesResponse) -> Result<(http::response::Parts, Bytes), Error> {
    let BytesResponse { parts, mut body } = response;
    let body = body.into_bytes().await.map_err(Error::Other)?;
    if parts.status.is_success() {
        return Ok((parts, body));
    }
    Err(Error::Api(serde_json::from_slice::<Problem>(&body)?))
}
