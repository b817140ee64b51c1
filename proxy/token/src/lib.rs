//! Credentials of vibectl: who signs them, who may use them, and for how long.
//!
//! Everything here is pure: the clock, randomness for identifiers and the bytes of files are passed in. Reading
//! files, Secrets or requests belongs to the callers.
//!
//! - [`mint`] and [`verify`]: signed tokens of a cluster, by a [`SigningKey`] and a [`KeySet`].
//! - [`foreign`]: tokens of others, such as service accounts and OpenID Connect providers.
//! - [`table`]: the access table, one row per live `ProxyToken`. No row, no access.
//! - [`migration`]: until when a cluster takes tokens of a former server's shared secret.
//! - [`rotation`]: the life of signing keys. [`renewal`]: when a token is made anew.
//! - [`standalone`]: tokens of a server that runs alone, signed with one shared secret, and which of them are revoked.
//! - [`inspect()`]: what a token says of itself, for people.

mod algorithm;
mod claims;
mod confirmation;
pub mod foreign;
mod inspect;
mod jwk;
mod jws;
mod key_set;
mod limits;
pub mod migration;
mod mint;
mod rejection;
pub mod renewal;
pub mod rotation;
mod signing_key;
pub mod standalone;
pub mod table;
mod token;
mod verify;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use claims::{Claims, Expectation, LEEWAY_SECONDS, audience_of, issuer_of};
pub use confirmation::Confirmation;
pub use inspect::{Inspected, inspect};
pub use jwk::PublicJwk;
pub use key_set::{KeySet, KeySetError};
pub use limits::Limits;
pub use mint::{MintError, mint};
pub use rejection::Rejection;
pub use signing_key::{KeyError, SigningKey};
pub use token::Token;
pub use verify::{MAX_TOKEN_BYTES, Verified, verify};
