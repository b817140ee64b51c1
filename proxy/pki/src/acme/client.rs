//! The account at the ACME server, ready for requests.

use instant_acme::{Account as Client, Error};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::registration::{RegistrationError, register};
use super::state::{Account, KeyPem, StateError, load, save};
use super::transport::Transport;
use super::{Record, Session, Settings, Store};
use crate::key::PrivateKey;

/// Why there is no account to work with.
#[derive(Debug, thiserror::Error)]
pub(super) enum AccountError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the stored account belongs to {0}; move it away")]
    OtherServer(String),
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    #[error(transparent)]
    Protocol(#[from] Error),
}

/// The account of the store. Its key is stored before the server hears of it, its URL before it is used.
pub(super) async fn open(
    settings: &Settings,
    transport: &Transport,
    store: &impl Store,
    session: &mut impl Session,
) -> Result<Client, AccountError> {
    let mut account = match load::<Account>(store, Record::Account).await? {
        Some(account) if account.directory_url == settings.directory_url => account,
        Some(other) => return Err(AccountError::OtherServer(other.directory_url)),
        None => {
            let key = PrivateKey::generate().map_err(|_| RegistrationError::Key)?;
            let directory_url = settings.directory_url.clone();
            let account = Account { directory_url, key: KeyPem(key.to_pem()), url: None };
            save(session, Record::Account, &account).await.map_err(StateError::from)?;
            account
        }
    };
    let der = pkcs8(&account.key)?;
    let key = PrivatePkcs8KeyDer::from(der.as_slice());
    let url = if let Some(url) = &account.url {
        url.clone()
    } else {
        let url = register(transport, settings, &key).await?;
        account.url = Some(url.clone());
        save(session, Record::Account, &account).await.map_err(StateError::from)?;
        url
    };
    let builder = Client::builder_with_http(Box::new(transport.clone()));
    Ok(builder.from_parts(url, key, settings.directory_url.clone()).await?)
}

/// The server does not know the account any more: the next attempt registers its key anew.
pub(super) async fn forget_url(store: &impl Store, session: &mut impl Session) -> Result<(), StateError> {
    if let Some(mut account) = load::<Account>(store, Record::Account).await? {
        account.url = None;
        save(session, Record::Account, &account).await?;
    }
    Ok(())
}

fn pkcs8(key: &KeyPem) -> Result<Zeroizing<Vec<u8>>, RegistrationError> {
    let key = PrivateKey::from_pem(&key.0).and_then(|key| key.to_der());
    match key {
        Ok(PrivateKeyDer::Pkcs8(key)) => Ok(Zeroizing::new(key.secret_pkcs8_der().to_vec())),
        _ => Err(RegistrationError::Key),
    }
}
