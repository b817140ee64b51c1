//! One call from its caller to a provider and back: limits, route, provider, usage.
//!
//! Whatever happens, the permit is given back and the usage booked exactly once: when the answer is complete, when it fails,
//! and when the caller goes away, which is a future or a stream that is dropped. A provider is left for the next one only
//! while nothing of its answer has been handed on.

mod attempt;
mod count;
mod deadline;
mod embed;
mod failover;
mod repair;
mod settlement;
mod standing;
mod stream;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use vibectl_token::table::Scope;

pub use self::{
    count::{TokenCount, count_tokens},
    embed::{Embedded, embed},
    stream::{CallStream, Event},
};
use self::{deadline::Deadline, failover::first_good, settlement::Settlement, standing::Standing};
use crate::{
    auth::principal::Principal,
    caller::Caller,
    cost::Cost,
    error::CallError,
    limits::Demand,
    provider::{Finish, ModelRequest, Reply},
    router::{Route, Target},
    service::deadline::MAX_CALL,
    state::Shared,
    usage::Usage,
};

/// Longest text of an answer: one message of 4 MiB, the default limit of gRPC clients, less room for what is around it.
pub const MAX_TEXT_BYTES: usize = 4 * 1024 * 1024 - 16 * 1024;

/// What a caller wants.
#[derive(Debug)]
pub struct CallRequest {
    /// The model by name or alias; absent or empty means the default.
    pub model: Option<String>,
    /// What the model is asked.
    pub prompt: ModelRequest,
    /// Characters of the prompt, for the limit on them.
    pub input_length: usize,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
}

impl CallRequest {
    /// What it asks of the limits.
    fn demand(&self, stream: bool) -> Demand {
        Demand { input_length: self.input_length, output_cap: self.prompt.output_cap(), stream }
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// The answer.
    pub reply: Reply,
    /// What it took.
    pub summary: Summary,
}

/// What a call took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The name of the model that answered, as callers see it.
    pub model: Arc<str>,
    /// Tokens.
    pub usage: Usage,
    /// What the provider asks for that, where its price is known.
    pub cost: Option<Cost>,
    /// Why the answer ended.
    pub finish: Finish,
    /// Tokens of the prompt that the provider had seen before.
    pub cached_tokens: u64,
    /// Time from the request to the last of the answer.
    pub duration: Duration,
    /// Attempts that failed before one was answered.
    pub retries: u32,
}

/// The whole answer to a call.
pub async fn execute(
    shared: &Arc<Shared>,
    caller: &Arc<Caller>,
    request: CallRequest,
) -> Result<Answer, CallError> {
    let mut begun = begin(shared, caller, request.model.as_deref(), request.deadline, request.demand(false))?;
    let CallRequest { mut prompt, .. } = request;
    let ask = |target: Arc<Target>| {
        let prompt = &prompt;
        async move { target.provider.complete(&target.model, prompt).await }
    };
    let answered = first_good(&begun.route, &mut begun.settlement, begun.deadline, ask).await?;
    let (target, mut completion) = (answered.target, answered.answer);
    begun.settlement.answered_with(&completion)?;
    if let Some(problem) = repair::problem(&prompt, &completion) {
        completion = repair::repaired(&mut begun, &target, &mut prompt, completion, problem).await?;
    }
    Ok(Answer { reply: completion.reply, summary: begun.settlement.complete(begun.route.model) })
}

/// The answer to a call as it comes. Ready with the first piece of it, so that a failure before is an error here.
///
/// It ends with an error when the credential of the principal is revoked: a stream may last for an hour.
pub async fn stream(
    shared: &Arc<Shared>,
    principal: &Principal,
    request: CallRequest,
) -> Result<CallStream, CallError> {
    let mut begun =
        begin(shared, &principal.caller, request.model.as_deref(), request.deadline, request.demand(true))?;
    let mut standing = Standing::new(shared, principal);
    let CallRequest { prompt, .. } = request;
    let ask = |target: Arc<Target>| {
        let prompt = &prompt;
        async move { stream::open(&target, prompt).await }
    };
    let answered = tokio::select! {
        biased;
        answered = first_good(&begun.route, &mut begun.settlement, begun.deadline, ask) => answered?,
        () = standing.lost() => return Err(CallError::Revoked),
    };
    Ok(CallStream::new(answered, prompt.schema, begun, standing))
}

/// A call that was let through.
struct Begun {
    route: Route,
    settlement: Settlement,
    deadline: Deadline,
}

fn begin(
    shared: &Arc<Shared>,
    caller: &Arc<Caller>,
    model: Option<&str>,
    deadline: Option<Instant>,
    demand: Demand,
) -> Result<Begun, CallError> {
    let started = Instant::now();
    if !caller.scopes.contains(Scope::Execute) {
        return Err(CallError::NotAllowed);
    }
    let input_length = demand.input_length;
    let permit = shared.admit(caller, demand)?;
    let settlement = Settlement::new(shared, caller, permit, started, input_length);
    let active = shared.active.load();
    let route = active.router.route(caller, model, active.router.draw())?;
    let permitted = shared.limits_of(caller).request_timeout().unwrap_or(MAX_CALL).min(MAX_CALL);
    let own = started + permitted;
    let deadline = deadline.map_or(own, |callers| callers.min(own));
    Ok(Begun { route, settlement, deadline: Deadline::of_call(deadline) })
}

fn check_length(bytes: usize) -> Result<(), CallError> {
    if bytes > MAX_TEXT_BYTES { Err(CallError::AnswerTooLong { limit: MAX_TEXT_BYTES }) } else { Ok(()) }
}
