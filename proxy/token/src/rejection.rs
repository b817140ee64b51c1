//! Why a token was refused.

use thiserror::Error;

/// The cause, for logs and metrics. A caller gets one and the same answer whatever the cause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum Rejection {
    /// Longer than any token of ours.
    #[error("the token is too long")]
    TooLong,
    /// Not three base64url parts, or a part that is not the JSON object it should be.
    #[error("the token is malformed")]
    Malformed,
    /// The header lacks a member, has one that we do not know (`crit`, `jku`, `jwk` and the like) or the wrong `typ`.
    #[error("the token's header is not acceptable")]
    Header,
    /// No key has this `kid`.
    #[error("the token names an unknown key")]
    UnknownKey,
    /// The header names another algorithm than the key's.
    #[error("the token names another algorithm than its key has")]
    Algorithm,
    /// The signature does not verify.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim is missing or has the wrong type or no sense.
    #[error("the token's claims are incomplete or not sound")]
    Claims,
    /// Issued by someone else.
    #[error("the token has another issuer")]
    Issuer,
    /// Issued for someone else.
    #[error("the token is for another audience")]
    Audience,
    /// Not good any more.
    #[error("the token has expired")]
    Expired,
    /// Not good yet, or issued in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
}

impl Rejection {
    /// The value of a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Header => "header",
            Self::UnknownKey => "unknown_key",
            Self::Algorithm => "algorithm",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
        }
    }
}
