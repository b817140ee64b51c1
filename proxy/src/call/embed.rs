//! Texts -> vectors, under the same limits as every call.

use std::{sync::Arc, time::Instant};

use super::{begin, failover::first_good};
use crate::{
    caller::Caller,
    cost::Cost,
    error::CallError,
    limits::Demand,
    provider::{
        Usage,
        embeddings::{EmbeddingsRequest, Vectors},
    },
    router::Target,
    state::Shared,
};

/// The vectors, and what they took.
#[derive(Debug)]
pub struct Embedded {
    /// The vectors.
    pub vectors: Vectors,
    /// Tokens of the input.
    pub input_tokens: u64,
    /// What the provider asks for that, where its price is known.
    pub cost: Option<Cost>,
    /// The name of the model, as callers see it.
    pub model: Arc<str>,
}

/// Makes the vectors.
pub async fn embed(
    shared: &Arc<Shared>,
    caller: &Arc<Caller>,
    request: &EmbeddingsRequest,
    deadline: Option<Instant>,
) -> Result<Embedded, CallError> {
    // Nothing is said: there is no output.
    let demand = Demand { input_length: request.input_length, output_cap: Some(0), stream: false };
    let mut begun = begin(shared, caller, request.model.as_deref(), deadline, demand)?;
    let ask = |target: Arc<Target>| async move { target.provider.embed(&target.model, request).await };
    let answered = first_good(&begun.route, &mut begun.settlement, begun.deadline, ask).await?;
    let embeddings = answered.answer;
    let settlement = &mut begun.settlement;
    settlement.answered();
    settlement.reported(embeddings.input_tokens.map(|input| Usage { input, output: 0, cached: 0 }));
    let summary = begun.settlement.complete(begun.route.model);
    Ok(Embedded {
        vectors: embeddings.vectors,
        input_tokens: summary.usage.input_tokens,
        cost: summary.cost,
        model: summary.model,
    })
}
