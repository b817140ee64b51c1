//! The account at the ACME server, ready for requests.

use instant_acme::{Account as Client, Error};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::registration::{self, RegistrationError};
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
    let mut account = registered(settings, transport, store, session).await?;
    settle_key_change(settings, transport, session, &mut account).await?;
    let der = pkcs8(&account.key)?;
    let builder = Client::builder_with_http(Box::new(transport.clone()));
    let key = PrivatePkcs8KeyDer::from(der.as_slice());
    let url = account.url.unwrap_or_default();
    Ok(builder.from_parts(url, key, settings.directory_url.clone()).await?)
}

/// Gives the account another key. The new one is stored before the server hears of it; which of the two it knows is asked
/// when a crash came in between.
pub(super) async fn change_key(
    settings: &Settings,
    transport: &Transport,
    store: &impl Store,
    session: &mut impl Session,
) -> Result<(), AccountError> {
    let mut account = registered(settings, transport, store, session).await?;
    settle_key_change(settings, transport, session, &mut account).await?;
    let next = KeyPem(PrivateKey::generate().map_err(|_| RegistrationError::Key)?.to_pem());
    let (old, new) = (pkcs8(&account.key)?, pkcs8(&next)?);
    account.next = Some(next.clone());
    save(session, Record::Account, &account).await.map_err(StateError::from)?;
    let url = account.url.clone().unwrap_or_default();
    let (old, new) = (PrivatePkcs8KeyDer::from(old.as_slice()), PrivatePkcs8KeyDer::from(new.as_slice()));
    registration::change_key(transport, settings, &url, &old, &new).await?;
    (account.key, account.next) = (next, None);
    Ok(save(session, Record::Account, &account).await.map_err(StateError::from)?)
}

/// The account with its URL; made and registered if there is none.
async fn registered(
    settings: &Settings,
    transport: &Transport,
    store: &impl Store,
    session: &mut impl Session,
) -> Result<Account, AccountError> {
    let mut account = match load::<Account>(store, Record::Account).await? {
        Some(account) if account.directory_url == settings.directory_url => account,
        Some(other) => return Err(AccountError::OtherServer(other.directory_url)),
        None => {
            let key = PrivateKey::generate().map_err(|_| RegistrationError::Key)?;
            let directory_url = settings.directory_url.clone();
            let account = Account { directory_url, key: KeyPem(key.to_pem()), url: None, next: None };
            save(session, Record::Account, &account).await.map_err(StateError::from)?;
            account
        }
    };
    if account.url.is_none() {
        let der = pkcs8(&account.key)?;
        let url =
            registration::register(transport, settings, &PrivatePkcs8KeyDer::from(der.as_slice())).await?;
        account.url = Some(url);
        save(session, Record::Account, &account).await.map_err(StateError::from)?;
    }
    Ok(account)
}

/// Ends a change of the key that was begun: the server tells which key it knows.
async fn settle_key_change(
    settings: &Settings,
    transport: &Transport,
    session: &mut impl Session,
    account: &mut Account,
) -> Result<(), AccountError> {
    let Some(next) = account.next.take() else { return Ok(()) };
    let der = pkcs8(&next)?;
    let found = registration::find(transport, settings, &PrivatePkcs8KeyDer::from(der.as_slice())).await?;
    if found.is_some() && found == account.url {
        account.key = next;
    }
    Ok(save(session, Record::Account, account).await.map_err(StateError::from)?)
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
