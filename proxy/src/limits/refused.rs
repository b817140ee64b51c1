//! What a call is told that a limit refuses.

use std::time::Duration;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// Requests per minute.
    Rate,
    /// Tokens of language models per minute.
    Tokens,
    /// The same, where one call may take more than all that there is.
    CallTokens,
    /// Calls at the same time.
    Concurrency,
    /// Characters of the input.
    Input,
}

impl LimitKind {
    /// Value of the `limit-type` trailer and of the metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rpm",
            Self::Tokens | Self::CallTokens => "token",
            Self::Concurrency => "concurrency",
            Self::Input => "input",
        }
    }
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole replica.
    Total,
    /// The consuming namespace.
    Namespace,
    /// The caller alone.
    Caller,
}

/// A call that a limit refused. It was counted nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub struct Refused {
    /// What was exceeded.
    pub kind: LimitKind,
    /// Whose limit it was.
    pub scope: Scope,
    /// The limit.
    pub maximum: u32,
    /// Time after which a call of this caller is admitted; zero when that depends on calls that still run, or never helps.
    pub retry_after: Duration,
}

impl Refused {
    /// Value of the `retry-after-ms` trailer, rounded up.
    pub fn retry_after_ms(&self) -> u64 {
        u64::try_from(self.retry_after.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }

    /// The first words are those of the original server.
    fn message(&self) -> String {
        let Self { kind, scope, maximum, .. } = self;
        let whose = match scope {
            Scope::Total => "this server",
            Scope::Namespace => "your namespace",
            Scope::Caller => "this token",
        };
        match kind {
            LimitKind::Rate => {
                format!("Rate limit (RPM) exceeded: {maximum} requests per minute for {whose}")
            }
            LimitKind::Tokens => {
                format!("Token limit (TPM) exceeded: {maximum} tokens per minute for {whose}")
            }
            LimitKind::CallTokens => format!(
                "Token limit (TPM) exceeded: this call may take more than the {maximum} tokens per minute for {whose}; \
                 shorten the prompt or ask for a shorter answer (max_tokens)"
            ),
            LimitKind::Concurrency => {
                format!("Concurrent request limit exceeded: {maximum} at the same time for {whose}")
            }
            LimitKind::Input => format!("Input length limit exceeded: {maximum} characters for {whose}"),
        }
    }
}
