//! How long a prompt is for its model, without an answer to it.

use std::sync::Arc;

use super::{CallRequest, begin, failover::first_good};
use crate::{
    caller::Caller, error::CallError, limits::Demand, provider::Usage, router::Target, state::Shared,
};

/// How many tokens a prompt has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenCount {
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// The provider cannot tell, and this is the estimate that limits go by.
    pub estimated: bool,
    /// The name of the model, as callers see it.
    pub model: Arc<str>,
}

/// Counts the tokens of a prompt. It is a call as far as limits on calls go, and takes no tokens: providers do not charge for it.
pub async fn count_tokens(
    shared: &Arc<Shared>,
    caller: &Arc<Caller>,
    request: CallRequest,
) -> Result<TokenCount, CallError> {
    let demand = Demand { input_length: request.input_length, output_cap: Some(0), stream: false };
    let mut begun = begin(shared, caller, request.model.as_deref(), request.deadline, demand)?;
    begun.settlement.takes_no_tokens();
    let CallRequest { prompt, input_length, .. } = request;
    let ask = |target: Arc<Target>| {
        let prompt = &prompt;
        async move { target.provider.count_tokens(&target.model, prompt).await }
    };
    let answered = first_good(&begun.route, &mut begun.settlement, begun.deadline, ask).await?;
    let counted = answered.answer;
    begun.settlement.answered();
    Ok(TokenCount {
        input_tokens: counted.unwrap_or_else(|| Usage::estimate(input_length)),
        estimated: counted.is_none(),
        model: begun.route.model,
    })
}
