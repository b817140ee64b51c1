//! `POST /v1/embeddings`. Where the model's provider has this API, its response goes back byte for byte.

use axum::{extract::rejection::BytesRejection, response::Response};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Serialize;

use super::{
    error::Refused,
    respond::{self, Context},
};
use crate::{
    call::{self, Embedded},
    provider::embeddings::{EmbeddingsRequest, Vectors},
    service::error_body::Dialect,
};

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Embedding>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    #[serde(rename = "embedding")]
    vector: Vector,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Numbers(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// The handler.
pub(super) async fn create(context: Context, body: Result<Bytes, BytesRejection>) -> Response {
    answer(&context, body).await.unwrap_or_else(|refused| refused.response(Dialect::OpenAi, &context.entry))
}

async fn answer(context: &Context, body: Result<Bytes, BytesRejection>) -> Result<Response, Refused> {
    let request = EmbeddingsRequest::parse(&body?)?;
    let Context { shared, principal, entry, deadline, .. } = context;
    let embedded = call::embed(shared, &principal.caller, &request, Some(*deadline)).await?;
    let Embedded { vectors, input_tokens, cost, model } = embedded;
    entry.model(&model);
    entry.cost(cost);
    let body = match vectors {
        Vectors::Raw(body) => body,
        Vectors::Numbers(vectors) => {
            let usage = Usage { prompt_tokens: input_tokens, total_tokens: input_tokens };
            let data = vectors.into_iter().enumerate().map(|one| embedding(one, request.base64)).collect();
            let list = List { object: "list", data, model: &model, usage };
            serde_json::to_vec(&list).unwrap_or_default().into()
        }
    };
    Ok(respond::json(body))
}

fn embedding((index, vector): (usize, Vec<f32>), base64: bool) -> Embedding {
    let vector = if base64 {
        let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        Vector::Base64(STANDARD.encode(bytes))
    } else {
        Vector::Numbers(vector)
    };
    Embedding { object: "embedding", index, vector }
}
