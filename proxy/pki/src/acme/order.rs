//! One order, from its beginning (or from where it was left) to a certificate that passed [`check`](super::check).
//!
//! ```text
//! record + key stored ─▶ order asked for ─▶ URL stored ─▶ answers stored ─▶ answers published ─▶ validation asked for
//!   ─▶ ready ─▶ finalized with the stored key ─▶ valid ─▶ downloaded ─▶ checked
//! ```
//!
//! Killed anywhere, the next run asks the server how far the order is and goes on from there.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, ChallengeType,
    Error, Identifier, NewOrder, Order as Client, OrderStatus, Problem,
};
use jiff::Timestamp;
use rcgen::{CertificateParams, DistinguishedName};

use super::check::{self, Refused};
use super::client::{self, AccountError};
use super::state::{self, History, KeyPem, Order, StateError, has_authority_key_id, save};
use super::transport::{Transport, kind};
use super::{Answer, ChallengeKind, Host, Publisher, Record, Session, Settings, Store, StoreError};
use crate::key::{KeyError, PrivateKey};
use crate::leaf::Leaf;

/// How long one attempt waits for the server to validate, and then to issue.
const PATIENCE: Duration = Duration::from_mins(5);
/// Pauses between questions about an order: the first, and the longest unless the server asks for more.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often an order is asked for without an answer, before that counts as a failure: one that was lost in a crash
/// costs one more, a crash loop does not.
const MAX_UNANSWERED: u32 = 2;

/// Repeats a request whose nonce was refused, within the bounds of [`Transport::may_retry`].
macro_rules! with_nonces {
    ($transport:expr, $request:expr) => {
        loop {
            match $request.await {
                Err(error) if $transport.may_retry(&error) => {}
                outcome => break outcome,
            }
        }
    };
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Account(AccountError),
    #[error(transparent)]
    Protocol(#[from] Error),
    #[error(
        "the order was asked for {MAX_UNANSWERED} times and the process ended each time before the answer came"
    )]
    Unanswered,
    #[error("the ACME server did not accept the proof of {}", describe(.0))]
    Authorization(Vec<(String, String)>),
    #[error("the ACME server offers no {1} challenge for {0}")]
    NoChallenge(String, ChallengeKind),
    #[error("the ACME server asks for something that was not ordered or cannot be answered")]
    Strange,
    #[error("failed to publish the answer for {0}: {1}")]
    Publish(String, String),
    #[error("the ACME server ended the order: {0}")]
    Ended(String),
    #[error("the ACME server did not {0} within five minutes")]
    Slow(&'static str),
    #[error("the ACME server's certificate is refused: {0}")]
    Refused(#[from] Refused),
    #[error("failed to make a key or a request for the certificate")]
    Key,
}

impl From<StoreError> for OrderError {
    fn from(error: StoreError) -> Self {
        Self::State(error.into())
    }
}

impl From<KeyError> for OrderError {
    fn from(_: KeyError) -> Self {
        Self::Key
    }
}

impl OrderError {
    /// Whether the order may still become a certificate: then it is kept, with what was published for it.
    pub(super) fn keeps_order(&self) -> bool {
        match self {
            Self::Protocol(Error::Api(problem)) => is_passing(problem),
            Self::State(_) | Self::Account(_) | Self::Slow(_) | Self::Publish(..) | Self::Protocol(_) => true,
            _ => false,
        }
    }

    /// Whether the server says that there is no such account.
    pub(super) fn lost_account(&self) -> bool {
        match self {
            Self::Protocol(Error::Api(problem))
            | Self::Account(AccountError::Protocol(Error::Api(problem))) => {
                kind(problem) == "accountDoesNotExist"
            }
            _ => false,
        }
    }

    /// The names whose proof was not accepted.
    pub(super) fn refused_names(&self) -> impl Iterator<Item = &str> {
        let names = if let Self::Authorization(names) = self { names.as_slice() } else { &[] };
        names.iter().map(|(name, _)| name.as_str())
    }
}

/// What one attempt works with.
pub(super) struct Attempt<'a, S: Store, P, H> {
    pub(super) settings: &'a Settings,
    pub(super) store: &'a S,
    pub(super) session: &'a mut S::Session,
    pub(super) publisher: &'a P,
    pub(super) host: &'a H,
    pub(super) transport: &'a Transport,
    pub(super) history: &'a mut History,
    /// The certificate that is renewed.
    pub(super) replaces: Option<&'a Leaf>,
}

impl<S: Store, P: Publisher, H: Host> Attempt<'_, S, P, H> {
    /// Goes on with the stored order, or begins one, to its end.
    pub(super) async fn run(&mut self) -> Result<(Leaf, KeyPem), OrderError> {
        let account = client::open(self.settings, self.transport, self.store, self.session).await;
        let account = account.map_err(OrderError::Account)?;
        let mut record = match state::load::<Order>(self.store, Record::Order).await? {
            Some(record) => record,
            None => self.begin()?,
        };
        let mut order = match record.url.clone() {
            Some(url) => with_nonces!(self.transport, account.order(url.clone()))?,
            None => self.ask(&account, &mut record).await?,
        };
        let key = record.key.clone();
        Ok((self.complete(&mut record, &mut order).await?, key))
    }

    fn begin(&self) -> Result<Order, OrderError> {
        let names = self.settings.names.iter().map(ToString::to_string).collect();
        let key = KeyPem(PrivateKey::generate()?.to_pem());
        Ok(Order { names, key, url: None, begun_at: self.host.now(), attempts: 0, answers: Vec::new() })
    }

    /// Asks for a new order. That it was asked for is known before it is asked for.
    async fn ask(&mut self, account: &Account, record: &mut Order) -> Result<Client, OrderError> {
        if record.attempts >= MAX_UNANSWERED {
            return Err(OrderError::Unanswered);
        }
        record.attempts += 1;
        self.history.orders.push(self.host.now());
        save(self.session, Record::History, self.history).await?;
        save(self.session, Record::Order, record).await?;
        let order = match self.new_order(account, record).await {
            // The server has answered, and what it said is no: there is no order.
            Err(error @ Error::Api(_)) => {
                self.session.write(Record::Order, None).await?;
                return Err(error.into());
            }
            order => order?,
        };
        record.url = Some(order.url().to_owned());
        save(self.session, Record::Order, record).await?;
        Ok(order)
    }

    /// The first attempt to renew says what it replaces (RFC 9773, 5); a server that does not take that is asked without.
    async fn new_order(&self, account: &Account, record: &Order) -> Result<Client, Error> {
        let identifiers: Vec<_> = record.names.iter().cloned().map(Identifier::Dns).collect();
        let replaced = self.replaces.filter(|leaf| has_authority_key_id(leaf) && self.history.failures == 0);
        let replaced = replaced.and_then(|leaf| CertificateIdentifier::try_from(leaf.chain().leaf()).ok());
        if let Some(replaced) = replaced {
            let order = NewOrder::new(&identifiers).replaces(replaced);
            match with_nonces!(self.transport, account.new_order(&order)) {
                Err(Error::Unsupported(_)) => {}
                Err(Error::Api(problem)) if kind(&problem) == "alreadyReplaced" => {}
                outcome => return outcome,
            }
        }
        with_nonces!(self.transport, account.new_order(&NewOrder::new(&identifiers)))
    }

    async fn complete(&mut self, record: &mut Order, order: &mut Client) -> Result<Leaf, OrderError> {
        if order.state().status == OrderStatus::Pending {
            self.authorize(record, order).await?;
        }
        self.wait(order, "validate", |status| status != OrderStatus::Pending).await?;
        if order.state().status == OrderStatus::Ready {
            let csr = request(record)?;
            with_nonces!(self.transport, order.finalize_csr(&csr))?;
        }
        let issued = |status| matches!(status, OrderStatus::Valid | OrderStatus::Invalid);
        self.wait(order, "issue", issued).await?;
        if order.state().status == OrderStatus::Invalid {
            return Err(self.why_invalid(order).await);
        }
        let chain = with_nonces!(self.transport, order.certificate())?;
        let chain = chain.ok_or(OrderError::Slow("issue"))?;
        let key = PrivateKey::from_pem(&record.key.0)?;
        Ok(check::check(&chain, key, &self.settings.names, self.host.now())?)
    }

    /// Publishes the answers and asks for validation, where that has not happened yet.
    async fn authorize(&mut self, record: &mut Order, order: &mut Client) -> Result<(), OrderError> {
        record.answers = self.answers(order).await?;
        save(self.session, Record::Order, record).await?;
        for answer in &record.answers {
            let published = self.publisher.publish(answer).await;
            published.map_err(|error| OrderError::Publish(answer.name.clone(), chain(&error)))?;
        }
        let kind = challenge_type(self.settings.challenge);
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let Some(mut challenge) = authorization.challenge(kind.clone()) else { continue };
            if challenge.status == ChallengeStatus::Pending {
                with_nonces!(self.transport, challenge.set_ready())?;
            }
        }
        Ok(())
    }

    /// The answers that the server wants to see. Those of a validation that is under way are among them.
    async fn answers(&self, order: &mut Client) -> Result<Vec<Answer>, OrderError> {
        // After a refused nonce the walk begins again; what was read already is not read twice.
        'again: loop {
            let (mut answers, mut refused) = (Vec::new(), Vec::new());
            let mut authorizations = order.authorizations();
            while let Some(authorization) = authorizations.next().await {
                let authorization = match authorization {
                    Err(error) if self.transport.may_retry(&error) => continue 'again,
                    authorization => authorization?,
                };
                match authorization.status {
                    AuthorizationStatus::Valid => {}
                    AuthorizationStatus::Pending => answers.push(self.answer(authorization)?),
                    _ => refused.push(reason(&authorization)),
                }
            }
            if refused.is_empty() {
                return Ok(answers);
            }
            return Err(OrderError::Authorization(refused));
        }
    }

    fn answer(&self, authorization: AuthorizationHandle<'_>) -> Result<Answer, OrderError> {
        // The library borrows a handle for as long as it could live: bound anew, it lives for this function only.
        let mut authorization = authorization;
        let Identifier::Dns(name) = authorization.identifier().identifier.clone() else {
            return Err(OrderError::Strange);
        };
        let mut ours = self.settings.names.iter().map(ToString::to_string);
        if !ours.any(|known| known.strip_prefix("*.").unwrap_or(&known) == name) {
            return Err(OrderError::Strange);
        }
        let kind = self.settings.challenge;
        let Some(challenge) = authorization.challenge(challenge_type(kind)) else {
            return Err(OrderError::NoChallenge(name, kind));
        };
        if !Answer::is_token(&challenge.token) {
            return Err(OrderError::Strange);
        }
        let key_authorization = challenge.key_authorization().as_str().to_owned();
        Ok(Answer { kind, name, token: challenge.token.clone(), key_authorization })
    }

    /// Asks how the order is until it is as wanted.
    async fn wait(
        &self,
        order: &mut Client,
        what: &'static str,
        done: impl Fn(OrderStatus) -> bool,
    ) -> Result<(), OrderError> {
        let deadline = self.host.now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        while !done(order.state().status) {
            let now = self.host.now();
            let asked =
                self.transport.retry_after().and_then(|value| super::backoff::retry_after(&value, now));
            let wait = pause.max(asked.unwrap_or_default());
            if now + wait > deadline {
                return Err(OrderError::Slow(what));
            }
            self.host.sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            with_nonces!(self.transport, async { order.refresh().await.map(|_| ()) })?;
        }
        Ok(())
    }

    /// The names that were not accepted, else what the server says about the order.
    async fn why_invalid(&self, order: &mut Client) -> OrderError {
        let said = order.state().error.as_ref().map(ToString::to_string);
        let mut refused = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            let refreshed = with_nonces!(self.transport, async { authorization.refresh().await.map(|_| ()) });
            if refreshed.is_ok() && authorization.status == AuthorizationStatus::Invalid {
                refused.push(reason(&authorization));
            }
        }
        if refused.is_empty() {
            return OrderError::Ended(said.unwrap_or_else(|| "it does not say why".to_owned()));
        }
        OrderError::Authorization(refused)
    }
}

/// Takes back everything that was published for an order. What cannot be taken back is told.
pub(super) async fn withdraw(publisher: &impl Publisher, answers: &[Answer]) -> Vec<String> {
    let mut failed = Vec::new();
    for answer in answers {
        if let Err(error) = publisher.withdraw(answer).await {
            failed.push(format!("{}: {}", answer.name, chain(&error)));
        }
    }
    failed
}

/// The request for the certificate: the names, and nothing that a person could read something into.
fn request(record: &Order) -> Result<Vec<u8>, OrderError> {
    let key = PrivateKey::from_pem(&record.key.0)?;
    let mut params = CertificateParams::new(record.names.clone()).map_err(|_| OrderError::Key)?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(key.pair()).map_err(|_| OrderError::Key)?;
    Ok(request.der().to_vec())
}

fn challenge_type(kind: ChallengeKind) -> ChallengeType {
    match kind {
        ChallengeKind::Http01 => ChallengeType::Http01,
        ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        ChallengeKind::Dns01 => ChallengeType::Dns01,
    }
}

/// Trouble of the server's own, or of its limits.
fn is_passing(problem: &Problem) -> bool {
    matches!(kind(problem), "rateLimited" | "serverInternal" | "badNonce" | "accountDoesNotExist")
        || problem.status.is_some_and(|status| status >= 500 || status == 429)
}

/// A name and why it was refused.
fn reason(authorization: &AuthorizationHandle<'_>) -> (String, String) {
    let name = match authorization.identifier().identifier {
        Identifier::Dns(name) => name.clone(),
        _ => "a name that is not ours".to_owned(),
    };
    let said = authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref());
    let said = said.map_or_else(|| "it does not say why".to_owned(), ToString::to_string);
    (name, said)
}

fn describe(refused: &[(String, String)]) -> String {
    refused.iter().map(|(name, why)| format!("{name}: {why}")).collect::<Vec<_>>().join("; ")
}

/// An error and its causes in one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // A transparent error repeats its cause.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// When the order was begun too long ago to be resumed: servers forget orders after days.
pub(super) fn is_stale(order: &Order, now: Timestamp) -> bool {
    now.duration_since(order.begun_at) > jiff::SignedDuration::from_hours(6 * 24)
}
