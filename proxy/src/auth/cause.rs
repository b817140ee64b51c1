//! Why a request is not let in, and what its sender is told: always the same.

use axum::response::Response;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, StatusCode};
use tonic::Code;
use vibectl_token::Rejection;

use crate::auth::foreign::Refresh;
use crate::service::access_log::Entry;
use crate::service::reply::{Protocol, Refusal};

const UNAUTHENTICATED: Refusal = Refusal {
    code: Code::Unauthenticated,
    status: StatusCode::UNAUTHORIZED,
    message: "a valid JWT is required, as Bearer in the authorization header",
};
/// Our own trouble, which no other credential would help against.
const UNAVAILABLE: Refusal = Refusal {
    code: Code::Unavailable,
    status: StatusCode::SERVICE_UNAVAILABLE,
    message: "the server cannot check credentials at the moment",
};

/// Why a request was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// No credential was sent.
    Missing,
    /// A credential that is not exactly `Bearer TOKEN`.
    NotBearer,
    /// Two credentials that differ.
    Conflict,
    /// The token is not good.
    Token(Rejection),
    /// The token is good and its `ProxyToken` is not there (any more), is suspended, or its row is unreadable; alone, no
    /// rule names its holder.
    NoRow,
    /// The token is good, but issued before what its row accepts.
    Revoked,
    /// The token is good on a connection with another client certificate.
    NotBound,
    /// The token is good, and of a shared secret that nothing is accepted of any longer.
    MigrationEnded,
    /// There are no keys, or no rows, to judge by.
    Unavailable,
}

/// A refusal, and whose credential it was where that is proven.
#[derive(Debug)]
pub(super) struct Denied {
    pub(super) cause: Cause,
    pub(super) subject: Option<String>,
    /// What may be waited for before asking once more.
    pub(super) refresh: Option<Refresh>,
}

impl Denied {
    /// A proven subject that is refused is for a person to know; strangers are many and say nothing.
    pub(super) fn record(&self, entry: &Entry) {
        let cause = self.cause.label();
        if let Some(subject) = &self.subject {
            entry.subject(subject);
            tracing::info!(subject, cause, "credential refused");
        } else {
            tracing::debug!(cause, "credential refused");
        }
    }
}

impl From<Cause> for Denied {
    fn from(cause: Cause) -> Self {
        Self { cause, subject: None, refresh: None }
    }
}

impl From<Rejection> for Denied {
    fn from(rejection: Rejection) -> Self {
        Cause::Token(rejection).into()
    }
}

impl Cause {
    /// The value of the metric's label.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotBearer => "not_bearer",
            Self::Conflict => "conflict",
            Self::Token(rejection) => rejection.label(),
            Self::NoRow => "no_row",
            Self::Revoked => "revoked",
            Self::NotBound => "not_bound",
            Self::MigrationEnded => "migration_ended",
            Self::Unavailable => "unavailable",
        }
    }

    /// For the owner of the server.
    pub(super) fn explanation(self) -> String {
        match self {
            Self::Token(rejection) => rejection.to_string(),
            Self::Missing | Self::NotBearer | Self::Conflict => "it is no credential".to_owned(),
            Self::NoRow => {
                "nothing says what its holder may do: no rule of jwt.issuers names them".to_owned()
            }
            Self::Revoked => "it is revoked, or its key is".to_owned(),
            Self::NotBound => {
                "it is bound to another client certificate than the one that is shown".to_owned()
            }
            Self::MigrationEnded => {
                "the time in which tokens of the shared secret were accepted is over".to_owned()
            }
            Self::Unavailable => "the server has no keys, or no table, to judge it by".to_owned(),
        }
    }

    pub(super) fn answer(self, protocol: Protocol) -> Response {
        if self == Self::Unavailable {
            return UNAVAILABLE.answer(protocol);
        }
        let mut response = UNAUTHENTICATED.answer(protocol);
        if protocol.is_http() {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
