//! Who may call: a credential in, a [`Principal`] or a refusal out.
//!
//! Every refusal reads the same to the caller. The cause is in the log, the access log and the metric.

mod ahead;
mod bearer;
mod cause;
mod foreign;
mod migration;
mod named;
pub mod principal;
mod rules;
pub mod secret;
mod standalone;
pub mod table;
mod verified;

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use tokio::sync::watch;
use vibectl_config::{Access, Config, Jwt, JwtMigration};
use vibectl_proto::fleet::v1::RefuseRequest;
use vibectl_token::standalone::Secret;

use crate::auth::ahead::Ahead;
use crate::auth::bearer::API_KEY;
use crate::auth::cause::{Cause, Denied};
use crate::auth::principal::{Credential, Principal};
use crate::auth::secret::NoSecret;
use crate::auth::standalone::{Former, Standalone};
use crate::auth::table::{Accepted, AccessState};
use crate::listener::tls::ClientCertificate;
use crate::metrics::family::Family;
use crate::parts::Files;
use crate::service::access_log::Entry;
use crate::service::reply::Protocol;
use crate::state::{Shared, unix_now};

/// How callers are known. Until told otherwise nobody is let in.
#[derive(Debug)]
pub struct Auth {
    mode: ArcSwap<Mode>,
    /// What is refused although the table has it yet.
    ahead: ArcSwapOption<Ahead>,
    /// How often keys of other issuers were asked for.
    fetches: Arc<Family<1>>,
    /// Told whenever somebody who was let in may not be any more.
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
enum Mode {
    #[default]
    Closed,
    Open(Principal),
    Standalone(Box<Standalone>),
    Table(AccessState),
}

/// What would become of a call with a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It would be let in, as this subject.
    Accepted(String),
    /// It would be let in, as any other is.
    NotAsked,
    /// It would be refused, for this reason.
    Refused(String),
}

/// What a request shows of its caller.
struct Shown<'a> {
    headers: &'a HeaderMap,
    client: Option<ClientCertificate>,
    protocol: Protocol,
}

impl Auth {
    /// Lets nobody in. Counts in `fetches` how often keys of other issuers are asked for.
    pub fn new(fetches: &Arc<Family<1>>) -> Self {
        Self {
            mode: ArcSwap::default(),
            ahead: ArcSwapOption::empty(),
            fetches: Arc::clone(fetches),
            changes: watch::Sender::default(),
        }
    }

    /// Puts in force what the config asks for. With an access table that is nothing yet: its files come by `reload`.
    /// `insecure` is true for the command that serves without TLS on purpose.
    pub fn start(&self, config: &Config, insecure: bool) -> Result<(), NoSecret> {
        if config.access.is_some() {
            return Ok(());
        }
        if !config.requires_authentication(insecure) {
            tracing::warn!("no call needs a token: whoever reaches the port may use the models");
            self.open();
            return Ok(());
        }
        let jwt = &config.jwt;
        if jwt.algorithm.of_signing_keys().is_some() {
            self.require_signature(jwt, former(jwt)?);
        } else if !jwt.issuers.is_empty() && jwt.secret_key.is_none() && jwt.secret_key_file.is_none() {
            tracing::info!("only tokens of jwt.issuers are accepted: there is no secret and no key");
            self.put(Mode::Standalone(Box::new(Standalone::of_others(&jwt.issuer))));
        } else {
            self.require_secret(found_secret(jwt)?, &jwt.issuer);
        }
        Ok(())
    }

    /// Lets everybody in, as the one anonymous caller.
    pub fn open(&self) {
        self.put(Mode::Open(Principal::anonymous()));
    }

    /// Lets in who has a token of this issuer, signed with the shared secret.
    pub fn require_secret(&self, secret: Secret, issuer: &str) {
        self.put(Mode::Standalone(Box::new(Standalone::with_secret(secret, issuer))));
    }

    /// Lets in who has a token that a published key signed; the keys come with [`Self::follow`]. For a time, who has a
    /// former one of the shared secret too.
    fn require_signature(&self, jwt: &Jwt, former: Option<Former>) {
        self.put(Mode::Standalone(Box::new(Standalone::with_keys(&jwt.issuer, &jwt.audience, former))));
    }

    /// Lets in who has a token signed by a published key, and a row. What cannot be read leaves what was in force.
    pub fn require_row(&self, access: &Access, files: &Files) -> Accepted {
        let mode = self.mode.load_full();
        let last = if let Mode::Table(state) = mode.as_ref() { Some(state) } else { None };
        let (state, accepted) = AccessState::load(access, files, last, &self.fetches);
        self.put(Mode::Table(state));
        accepted
    }

    /// Puts in force what a server that runs alone has in its folder. What cannot be read leaves what was in force.
    pub fn follow(&self, jwt: &Jwt, files: &Files, now: i64) -> Accepted {
        let mode = self.mode.load_full();
        let Mode::Standalone(standalone) = mode.as_ref() else { return Accepted::default() };
        let (state, accepted) = standalone.follow(jwt, files, now, &self.fetches);
        self.put(Mode::Standalone(Box::new(state)));
        accepted
    }

    /// Whether a good credential would be let in.
    pub fn is_ready(&self) -> bool {
        match self.mode.load().as_ref() {
            Mode::Closed => false,
            Mode::Open(_) => true,
            Mode::Standalone(standalone) => standalone.is_ready(),
            Mode::Table(state) => state.is_complete(),
        }
    }

    /// Marked whenever [`Self::still_accepts`] may say something else than before.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Refuses from now on what the request names, until the table that it announces is in force. `in_force` tells the
    /// revision of the one that is now.
    pub fn refuse(&self, request: RefuseRequest, in_force: impl FnOnce() -> String) {
        self.ahead.store(Some(Arc::new(Ahead::of(request))));
        self.changes.send_replace(());
        // It may have come in the meantime.
        self.caught_up(&in_force());
    }

    /// The table of this revision is in force.
    pub fn caught_up(&self, revision: &str) {
        if self.ahead.load().as_ref().is_some_and(|ahead| ahead.is_covered_by(revision)) {
            self.ahead.store(None);
        }
    }

    /// Whether a caller that was let in would be again, the end of its token aside: a call that began in time may finish.
    pub fn still_accepts(&self, principal: &Principal) -> bool {
        if self.ahead.load().as_ref().is_some_and(|ahead| ahead.refuses(principal)) {
            return false;
        }
        match (self.mode.load().as_ref(), &principal.credential) {
            (Mode::Table(state), Credential::Issued(verified)) => state.still_accepts(verified),
            (Mode::Table(state), Credential::Foreign(identity, issued_at)) => {
                state.still_accepts_foreign(identity, *issued_at)
            }
            (Mode::Standalone(standalone), Credential::Alone(verified) | Credential::Former(verified)) => {
                standalone.still_accepts(verified)
            }
            (Mode::Open(_), _) => true,
            _ => false,
        }
    }

    /// What would become of a call with this token: for the owner of the server, who may know why.
    /// Waits for keys of another issuer, as a call does.
    pub async fn judge(&self, token: &str, client: Option<ClientCertificate>, now: i64) -> Judgement {
        if matches!(self.mode.load().as_ref(), Mode::Open(_)) {
            return Judgement::NotAsked;
        }
        match refreshed(|| self.principal(token, client, now)).await {
            Ok(principal) => Judgement::Accepted(principal.caller.subject.clone()),
            Err(denied) => Judgement::Refused(denied.cause.explanation()),
        }
    }

    fn unless_refused(&self, principal: Principal) -> Result<Principal, Denied> {
        match self.ahead.load().as_ref() {
            Some(ahead) if ahead.refuses(&principal) => {
                Err(Denied { subject: Some(principal.caller.subject.clone()), ..Cause::Revoked.into() })
            }
            _ => Ok(principal),
        }
    }

    fn put(&self, mode: Mode) {
        self.mode.store(Arc::new(mode));
        self.changes.send_replace(());
    }

    /// A token of another issuer may name a key that is newer than what is known here: then the issuer is asked, and
    /// the token judged once more.
    async fn admitted(&self, shown: &Shown<'_>) -> Result<Principal, Denied> {
        refreshed(|| self.authenticate(shown, unix_now())).await
    }

    fn authenticate(&self, shown: &Shown<'_>, now: i64) -> Result<Principal, Denied> {
        match self.mode.load().as_ref() {
            Mode::Closed => Err(Cause::Unavailable.into()),
            Mode::Open(principal) => Ok(principal.clone()),
            Mode::Standalone(_) | Mode::Table(_) => {
                self.principal(bearer::credential(shown.headers, shown.protocol)?, shown.client, now)
            }
        }
    }

    fn principal(
        &self,
        token: &str,
        client: Option<ClientCertificate>,
        now: i64,
    ) -> Result<Principal, Denied> {
        match self.mode.load().as_ref() {
            Mode::Closed | Mode::Open(_) => Err(Cause::Unavailable.into()),
            Mode::Standalone(standalone) => standalone.principal(token, client, now),
            Mode::Table(state) => self.unless_refused(state.principal(token, now)?),
        }
    }
}

/// The judgement; the second one where newer keys of an issuer have come meanwhile.
async fn refreshed(judge: impl Fn() -> Result<Principal, Denied>) -> Result<Principal, Denied> {
    let first = judge();
    match &first {
        Err(Denied { refresh: Some(refresh), .. }) if refresh.happened().await => judge(),
        _ => first,
    }
}

/// The secret of before, where the config asks for a migration. One that is over needs it no more.
fn former(jwt: &Jwt) -> Result<Option<Former>, NoSecret> {
    let Some(JwtMigration { until }) = jwt.migration else { return Ok(None) };
    let has_ended = until.as_second() <= unix_now();
    if has_ended {
        tracing::warn!(%until, "no token of the shared secret is accepted any longer; remove jwt.migration");
    } else {
        tracing::warn!(%until, "tokens of the shared secret are accepted too, until then");
    }
    match found_secret(jwt) {
        Ok(secret) => Ok(Some(Former::new(secret, until.as_second()))),
        Err(_) if has_ended => Ok(None),
        Err(error) => Err(error),
    }
}

fn found_secret(jwt: &Jwt) -> Result<Secret, NoSecret> {
    let secret = secret::find(jwt)?;
    if secret.is_short() {
        tracing::warn!("{}", secret::SHORT);
    }
    Ok(secret)
}

/// The layer: puts a [`Principal`] into the extensions of the request, or answers in its stead.
pub async fn apply(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let protocol = Protocol::of(request.headers());
    let entry = Entry::of(request.extensions());
    let client = request.extensions().get::<ClientCertificate>().copied();
    let shown = Shown { headers: request.headers(), client, protocol };
    match shared.auth.admitted(&shown).await {
        Ok(principal) => {
            shared.metrics.auth.with(["accepted"]).add(1);
            note_end(&shared, &principal, unix_now());
            entry.subject(&principal.caller.subject);
            entry.token(principal.credential.token_id());
            // Nothing below needs them, so nothing below can pass them on or log them.
            request.headers_mut().remove(AUTHORIZATION);
            request.headers_mut().remove(API_KEY);
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(denied) => {
            shared.metrics.auth.with([denied.cause.label()]).add(1);
            entry.outcome(denied.cause.label());
            denied.record(&entry);
            denied.cause.answer(protocol)
        }
    }
}

/// Tells of a credential that will not be good for long: of who holds one that should have been renewed, the operator is told.
fn note_end(shared: &Shared, principal: &Principal, now: i64) {
    let Principal { caller, credential } = principal;
    if let Some(late) = credential.late(now) {
        shared.metrics.to_replace.with(["late"]).add(1);
        shared.usage.came_late(&caller.uid, late);
    }
    if credential.is_former() {
        shared.metrics.to_replace.with(["shared_secret"]).add(1);
    }
}
