//! Why a call was not answered, and the one place that says what callers of each front are told.
//!
//! In gRPC, limits, deadlines and malformed requests are statuses; what concerns models and providers is a message in an
//! answer with status OK, as clients of the contract expect. In HTTP everything is an error object of the OpenAI dialect.

use std::time::Duration;

use http::StatusCode;
use thiserror::Error;
use tonic::Code;

use crate::{
    limits::{LimitKind, Refused},
    provider::{ProviderError, ProviderErrorKind},
    router::NoRoute,
    structured::Unsatisfied,
};

/// A call that was not answered. `Display` is what the caller reads.
#[derive(Debug, Error)]
pub enum CallError {
    /// The credential does not allow this kind of call.
    #[error("this token may not do that")]
    NotAllowed,
    /// The credential was taken back while its call was running.
    #[error("this token was revoked while its call was running")]
    Revoked,
    /// The request makes no sense.
    #[error("{message}")]
    Invalid {
        /// What is wrong.
        message: String,
        /// The field that is wrong.
        param: Option<&'static str>,
    },
    /// A limit refused it.
    #[error(transparent)]
    Limited(#[from] Refused),
    /// No model for it.
    #[error(transparent)]
    NoRoute(#[from] NoRoute),
    /// Every provider failed; this is how the last one did.
    #[error("provider {provider}: {error}")]
    Provider {
        /// Its name in the config.
        provider: String,
        /// What went wrong.
        error: ProviderError,
    },
    /// Every provider of the model has as many calls as it may have.
    #[error("every provider of this model has as many calls as it may have at once; try again")]
    Full,
    /// The answer is not what the schema asks for.
    #[error("the model's answer does not satisfy the schema: {0}")]
    Unsatisfied(#[from] Unsatisfied),
    /// The answer does not fit into one message.
    #[error("the model's answer is longer than {limit} bytes")]
    AnswerTooLong {
        /// What fits.
        limit: usize,
    },
    /// The model wants a tool to be called with something that the caller's API has no place for.
    #[error("the model's arguments for the tool {0} are not a JSON object")]
    BadArguments(String),
    /// Time is up.
    #[error("the call took longer than permitted")]
    DeadlineExceeded,
}

/// What callers are told, besides the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// In gRPC.
    pub grpc: Grpc,
    /// In HTTP.
    pub http: StatusCode,
    /// `type` of the error object in HTTP.
    pub kind: &'static str,
    /// `code` of the error object in HTTP.
    pub code: Option<&'static str>,
}

/// How a gRPC caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grpc {
    /// With the status of the call.
    Status(Code),
    /// With an error code in the answer.
    Message(&'static str),
}

/// A guess: nobody knows when a call ends.
const FULL_FOR: Duration = Duration::from_secs(1);

const EXECUTION_FAILED: Grpc = Grpc::Message("EXECUTION_FAILED");
const EXHAUSTED: Grpc = Grpc::Status(Code::ResourceExhausted);
const INVALID: &str = "invalid_request_error";
const RATE_LIMIT: &str = "rate_limit_error";
const SERVER: &str = "server_error";

impl CallError {
    /// The one map.
    pub fn told(&self) -> Told {
        let (grpc, http, kind, code) = match self {
            Self::NotAllowed => (Grpc::Status(Code::PermissionDenied), 403, INVALID, Some("not_allowed")),
            Self::Revoked => (Grpc::Status(Code::PermissionDenied), 403, INVALID, Some("token_revoked")),
            Self::Invalid { .. } => (Grpc::Status(Code::InvalidArgument), 400, INVALID, None),
            Self::Limited(Refused { kind: LimitKind::Input, .. }) => {
                (EXHAUSTED, 413, INVALID, Some("string_above_max_length"))
            }
            // Trying again does not help: the call itself has to be another one.
            Self::Limited(Refused { kind: LimitKind::CallTokens, .. }) => {
                (EXHAUSTED, 413, INVALID, Some("tokens_above_limit"))
            }
            Self::Limited(_) => (EXHAUSTED, 429, RATE_LIMIT, Some("rate_limit_exceeded")),
            Self::NoRoute(NoRoute::NoModel) => {
                (Grpc::Message("NO_MODEL"), 400, INVALID, Some("model_required"))
            }
            Self::NoRoute(NoRoute::ModelNotFound(_)) => {
                (Grpc::Message("MODEL_NOT_FOUND"), 404, INVALID, Some("model_not_found"))
            }
            Self::NoRoute(NoRoute::NoTarget) => (EXECUTION_FAILED, 503, SERVER, Some("no_provider")),
            Self::Provider {
                error: ProviderError { kind: ProviderErrorKind::Inexpressible, .. }, ..
            } => (Grpc::Status(Code::InvalidArgument), 400, INVALID, Some("not_expressible")),
            Self::Provider { error, .. } => {
                let (http, kind, code) = of_provider(error);
                (EXECUTION_FAILED, http, kind, code)
            }
            Self::Full => (EXHAUSTED, 503, SERVER, Some("providers_full")),
            Self::Unsatisfied(_) => (EXECUTION_FAILED, 502, SERVER, Some("schema_not_satisfied")),
            Self::AnswerTooLong { .. } => (EXECUTION_FAILED, 502, SERVER, Some("answer_too_long")),
            Self::BadArguments(_) => (EXECUTION_FAILED, 502, SERVER, Some("bad_tool_arguments")),
            Self::DeadlineExceeded => (Grpc::Status(Code::DeadlineExceeded), 504, SERVER, Some("timeout")),
        };
        Told { grpc, http: StatusCode::from_u16(http).unwrap_or(StatusCode::BAD_GATEWAY), kind, code }
    }

    /// Short name for logs: the error code of the answer, else the gRPC status.
    pub fn label(&self) -> &'static str {
        match self.told().grpc {
            Grpc::Message(code) => code,
            Grpc::Status(Code::PermissionDenied) => "PERMISSION_DENIED",
            Grpc::Status(Code::InvalidArgument) => "INVALID_ARGUMENT",
            Grpc::Status(Code::ResourceExhausted) => "RESOURCE_EXHAUSTED",
            Grpc::Status(Code::DeadlineExceeded) => "DEADLINE_EXCEEDED",
            Grpc::Status(_) => "UNAVAILABLE",
        }
    }

    /// When it makes sense to try again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Limited(refused) => Some(refused.retry_after).filter(|wait| !wait.is_zero()),
            Self::Provider {
                error: ProviderError { kind: ProviderErrorKind::RateLimited { retry_after }, .. },
                ..
            } => *retry_after,
            Self::Full => Some(FULL_FOR),
            _ => None,
        }
    }

    /// The field of the request that is wrong.
    pub fn param(&self) -> Option<&'static str> {
        match self {
            Self::Invalid { param, .. } => *param,
            Self::NoRoute(_) => Some("model"),
            _ => None,
        }
    }
}

/// A provider that refuses our key is our trouble: 401 and 403 are only ever about the caller's own credential.
fn of_provider(error: &ProviderError) -> (u16, &'static str, Option<&'static str>) {
    match error.kind {
        ProviderErrorKind::Rejected | ProviderErrorKind::Inexpressible => (400, INVALID, error.code),
        ProviderErrorKind::RateLimited { .. } => (429, RATE_LIMIT, Some("provider_rate_limit_exceeded")),
        ProviderErrorKind::Timeout => (504, SERVER, Some("provider_timeout")),
        ProviderErrorKind::BadAnswer => (502, SERVER, Some("provider_bad_answer")),
        ProviderErrorKind::Unavailable | ProviderErrorKind::Auth => {
            (503, SERVER, Some("provider_unavailable"))
        }
    }
}
