//! One step after the other: what is due is done, its outcome is written down, and the caller is told when to come again.

use std::sync::Arc;

use instant_acme::{CertificateIdentifier, HttpClient};
use jiff::Timestamp;

use super::client;
use super::limiter;
use super::order::{Attempt, OrderError, chain, is_stale, withdraw};
use super::schedule::{self, Next, Situation};
use super::state::{self, Certificate, Held, History, Order, Renewal, StateError, load, save};
use super::transport::{Origin, OriginError, Transport};
use super::{ChallengeKind, Host, Publisher, Record, Session, Settings, Store, backoff, renewal_info};
use crate::leaf::Leaf;
use crate::names::Name;

/// Settings that no ACME server could satisfy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The directory URL.
    #[error(transparent)]
    Directory(#[from] OriginError),
    /// An address where a DNS name has to be.
    #[error("`{0}` is an address; ACME certificates are for DNS names here")]
    Address(String),
    /// A wildcard with another challenge than DNS.
    #[error("`{0}` can be proven by dns-01 only")]
    Wildcard(String),
}

/// Why the key of the account is the old one still.
#[derive(Debug, thiserror::Error)]
pub enum KeyChangeError {
    /// Another process has the store.
    #[error("another process is at work on the account right now; try again")]
    Busy,
    /// The store.
    #[error(transparent)]
    State(#[from] StateError),
    /// The ACME server, or the way to it.
    #[error("failed to change the key of the account: {0}")]
    Refused(String),
}

/// What a step did.
#[derive(Debug)]
pub enum Step {
    /// Another process is at work on the same store.
    Busy,
    /// There is nothing to do before this time.
    Wait(Timestamp),
    /// There is a new certificate in the store.
    Issued {
        /// Whether there was one for the same names before.
        renewed: bool,
        /// What could not be taken back after the order.
        left_behind: Vec<String>,
    },
    /// It did not work; the certificate that there was stays.
    Failed {
        /// Why, for a person.
        error: String,
        /// Nothing is tried before this time.
        until: Timestamp,
    },
}

/// Gets certificates and renews them. Holds no state of its own: everything is in the store.
pub struct Engine<S, P, H> {
    settings: Settings,
    origin: Origin,
    http: Arc<dyn HttpClient>,
    store: S,
    publisher: P,
    host: H,
}

impl<S: Store, P: Publisher, H: Host> Engine<S, P, H> {
    /// An engine for these settings, or what is wrong with them.
    pub fn new(
        settings: Settings,
        http: Arc<dyn HttpClient>,
        store: S,
        publisher: P,
        host: H,
    ) -> Result<Self, EngineError> {
        let origin = Origin::of(&settings.directory_url)?;
        for name in settings.names.iter() {
            match name {
                Name::Ip(address) => return Err(EngineError::Address(address.to_string())),
                Name::Dns(name) if name.starts_with("*.") && settings.challenge != ChallengeKind::Dns01 => {
                    return Err(EngineError::Wildcard(name.clone()));
                }
                Name::Dns(_) => {}
            }
        }
        Ok(Self { settings, origin, http, store, publisher, host })
    }

    /// The newest certificate that can be served, whoever got it. One for other names than today's is better than none
    /// until there is another.
    pub async fn current(&self) -> Result<Option<Leaf>, StateError> {
        let certificate = self.certificate().await?;
        let leaf = certificate.and_then(|certificate| certificate.leaf().ok());
        Ok(leaf.filter(|leaf| leaf.check_time(self.host.now()).is_ok()))
    }

    /// Does what is due. An error is one of the store; it is worth trying again later.
    pub async fn step(&self) -> Result<Step, StateError> {
        let Some(mut session) = self.store.open().await? else { return Ok(Step::Busy) };
        let mut history = load::<History>(&self.store, Record::History).await?.unwrap_or_default();
        limiter::prune(&mut history, self.host.now());
        let certificate = self.certificate().await?;
        // One that cannot be read any more is as good as none.
        let held = certificate.as_ref().and_then(|certificate| certificate.held().ok());
        let order_is_open = self.open_order(&mut session).await?;
        let decide = |history: &History| {
            let situation = Situation {
                names: &self.settings.names,
                certificate: held.as_ref(),
                order_is_open,
                history,
                auto_renew: self.settings.auto_renew,
            };
            schedule::next(self.host.now(), situation)
        };
        if let (Next::AskRenewalInfo, Some(held), Some(certificate)) = (decide(&history), &held, &certificate)
        {
            self.ask_renewal_info(&mut session, &mut history, held, certificate).await?;
        }
        match decide(&history) {
            Next::Wait(until) => Ok(Step::Wait(until)),
            Next::AskRenewalInfo => Ok(Step::Wait(self.host.now() + renewal_info::SHORTEST_SILENCE)),
            Next::Order => self.order(&mut session, &mut history, certificate.as_ref()).await,
        }
    }

    /// Gives the account another key; the certificate and its key are not touched. An error tells a person why not; asking
    /// again is safe.
    pub async fn change_account_key(&self) -> Result<(), KeyChangeError> {
        let mut session = self.store.open().await.map_err(StateError::from)?.ok_or(KeyChangeError::Busy)?;
        let transport = self.transport();
        let changed = client::change_key(&self.settings, &transport, &self.store, &mut session).await;
        changed.map_err(|error| KeyChangeError::Refused(chain(&error)))
    }

    async fn certificate(&self) -> Result<Option<Certificate>, StateError> {
        let certificate = load::<Certificate>(&self.store, Record::Certificate).await?;
        Ok(certificate.filter(|certificate| certificate.directory_url == self.settings.directory_url))
    }

    /// Whether there is an order to go on with. One for other names, or of long ago, is given up.
    async fn open_order(&self, session: &mut S::Session) -> Result<bool, StateError> {
        let Some(order) = load::<Order>(&self.store, Record::Order).await? else { return Ok(false) };
        let ours = state::same_names(&order.names, &self.settings.names);
        if ours && !is_stale(&order, self.host.now()) {
            return Ok(true);
        }
        withdraw(&self.publisher, &order.answers).await;
        session.write(Record::Order, None).await?;
        Ok(false)
    }

    async fn order(
        &self,
        session: &mut S::Session,
        history: &mut History,
        certificate: Option<&Certificate>,
    ) -> Result<Step, StateError> {
        let transport = self.transport();
        let replaces = certificate.and_then(|certificate| certificate.leaf().ok());
        let mut attempt = Attempt {
            settings: &self.settings,
            store: &self.store,
            session,
            publisher: &self.publisher,
            host: &self.host,
            transport: &transport,
            history,
            replaces: replaces.as_ref(),
        };
        match attempt.run().await {
            Ok((leaf, key)) => {
                let renewed = replaces.is_some_and(|old| old.facts().names == leaf.facts().names);
                let (directory_url, chain) = (self.settings.directory_url.clone(), leaf.chain_pem());
                let (obtained_at, random) = (self.host.now(), self.host.random());
                let certificate = Certificate { directory_url, chain, key, obtained_at, random };
                self.succeeded(session, history, &certificate, renewed).await
            }
            Err(OrderError::State(error)) => Err(error),
            Err(error) => self.failed(session, history, &transport, error).await,
        }
    }

    /// The certificate first: until the order is removed, a crash in between only means that it is looked at again.
    async fn succeeded(
        &self,
        session: &mut S::Session,
        history: &mut History,
        certificate: &Certificate,
        renewed: bool,
    ) -> Result<Step, StateError> {
        save(session, Record::Certificate, certificate).await?;
        history.issued.push(certificate.obtained_at);
        let (orders, issued) = (std::mem::take(&mut history.orders), std::mem::take(&mut history.issued));
        *history = History { orders, issued, ..History::default() };
        save(session, Record::History, history).await?;
        let left_behind = self.end_order(session).await?;
        Ok(Step::Issued { renewed, left_behind })
    }

    async fn failed(
        &self,
        session: &mut S::Session,
        history: &mut History,
        transport: &Transport,
        error: OrderError,
    ) -> Result<Step, StateError> {
        let now = self.host.now();
        let asked = transport.status().filter(|status| !status.is_success()).and(transport.retry_after());
        let asked = asked.and_then(|value| backoff::retry_after(&value, now));
        history.failures = history.failures.saturating_add(1);
        let until = now + backoff::delay(history.failures, asked, self.host.random());
        history.not_before = Some(until);
        let text = chain(&error);
        history.last_error = Some(text.clone());
        for name in error.refused_names() {
            history.failed_authorizations.entry(name.to_owned()).or_default().push(now);
        }
        save(session, Record::History, history).await?;
        if error.lost_account() {
            client::forget_url(&self.store, session).await?;
        }
        if !error.keeps_order() || error.lost_account() {
            self.end_order(session).await?;
        }
        Ok(Step::Failed { error: text, until })
    }

    /// Takes back what was published and forgets the order.
    async fn end_order(&self, session: &mut S::Session) -> Result<Vec<String>, StateError> {
        let Some(order) = load::<Order>(&self.store, Record::Order).await? else { return Ok(Vec::new()) };
        let left_behind = withdraw(&self.publisher, &order.answers).await;
        session.write(Record::Order, None).await?;
        Ok(left_behind)
    }

    /// Asks when the server would like the certificate to be renewed. A server that does not answer, or not with sense, is
    /// asked again later, and our own reckoning holds.
    async fn ask_renewal_info(
        &self,
        session: &mut S::Session,
        history: &mut History,
        held: &Held,
        certificate: &Certificate,
    ) -> Result<(), StateError> {
        let transport = self.transport();
        let said = self.renewal_info(session, &transport, certificate).await;
        let now = self.host.now();
        let asked = transport.retry_after().and_then(|value| backoff::retry_after(&value, now));
        let silence = renewal_info::silence(asked, &held.lifetime, self.host.random());
        let window = said.and_then(|(start, end)| renewal_info::usable(start, end, &held.lifetime));
        history.renewal = Some(Renewal { serial: held.serial.clone(), window, ask_at: now + silence });
        save(session, Record::History, history).await?;
        Ok(())
    }

    async fn renewal_info(
        &self,
        session: &mut S::Session,
        transport: &Transport,
        certificate: &Certificate,
    ) -> Option<(Timestamp, Timestamp)> {
        let leaf = certificate.leaf().ok()?;
        let id = CertificateIdentifier::try_from(leaf.chain().leaf()).ok()?;
        let account = client::open(&self.settings, transport, &self.store, session).await.ok()?;
        let (info, _) = account.renewal_info(&id).await.ok()?;
        let window = info.suggested_window;
        let time = |seconds: i64| Timestamp::from_second(seconds).ok();
        Some((time(window.start.unix_timestamp())?, time(window.end.unix_timestamp())?))
    }

    fn transport(&self) -> Transport {
        Transport::new(Arc::clone(&self.http), self.origin.clone())
    }
}
