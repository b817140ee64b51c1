//! Tokens whose signature was verified lately, so that a signature is not verified for every call.
//!
//! A cache belongs to one key set and goes with it. It remembers claims, not decisions: time, issuer, audience and the
//! row are asked for every call.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::digest::{SHA256, digest};
use vibectl_token::Verified;
use vibectl_token::foreign::ForeignClaims;
use vibectl_token::standalone::Signed;

const SHARDS: usize = 16;
/// In all some 8000 tokens in use, at half a kilobyte each.
const PER_SHARD: usize = 512;

type Key = [u8; 32];

type Shard<T> = RwLock<HashMap<Key, Arc<T>>>;

/// The digests of verified tokens and what the tokens say.
#[derive(Debug)]
pub(super) struct VerifiedTokens<T> {
    shards: [Shard<T>; SHARDS],
}

/// What ends.
pub(super) trait Ending {
    /// When, in seconds since 1970.
    fn end(&self) -> i64;
}

impl Ending for Verified {
    fn end(&self) -> i64 {
        self.claims.exp
    }
}

impl Ending for Signed {
    fn end(&self) -> i64 {
        self.claims.exp
    }
}

impl Ending for ForeignClaims {
    fn end(&self) -> i64 {
        self.expires_at
    }
}

/// The name of a token in the cache; the token itself is not kept.
#[derive(Clone, Copy)]
pub(super) struct TokenDigest(Key);

impl TokenDigest {
    pub(super) fn of(token: &str) -> Self {
        let mut key = Key::default();
        for (to, from) in key.iter_mut().zip(digest(&SHA256, token.as_bytes()).as_ref()) {
            *to = *from;
        }
        Self(key)
    }
}

impl<T> Default for VerifiedTokens<T> {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| RwLock::default()) }
    }
}

impl<T: Ending> VerifiedTokens<T> {
    /// The claims of a token that was verified with this key set.
    pub(super) fn get(&self, token: &TokenDigest) -> Option<Arc<T>> {
        self.shard(token)?.read().unwrap_or_else(PoisonError::into_inner).get(&token.0).cloned()
    }

    /// Remembers a verified token. Only such are ever here, so strangers cannot fill it.
    pub(super) fn put(&self, token: &TokenDigest, verified: Arc<T>, now: i64) {
        let Some(shard) = self.shard(token) else { return };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= PER_SHARD {
            shard.retain(|_, verified| verified.end() > now);
        }
        if shard.len() >= PER_SHARD
            && let Some(any) = shard.keys().next().copied()
        {
            shard.remove(&any);
        }
        shard.insert(token.0, verified);
    }

    fn shard(&self, TokenDigest(key): &TokenDigest) -> Option<&Shard<T>> {
        self.shards.get(usize::from(*key.first()?) % SHARDS)
    }
}

#[cfg(test)]
mod tests {
    use vibectl_token::Claims;

    use super::*;

    fn verified(exp: i64) -> Arc<Verified> {
        let text = || "x".to_owned();
        let (iss, aud, sub, jti, uid) = (text(), text(), text(), text(), text());
        Arc::new(Verified { claims: Claims { iss, aud, sub, iat: 0, nbf: 0, exp, jti, uid }, kid: text() })
    }

    fn len(cache: &VerifiedTokens<Verified>) -> usize {
        cache.shards.iter().map(|shard| shard.read().expect("not poisoned").len()).sum()
    }

    #[test]
    fn a_token_is_found_by_its_whole_text() {
        let cache = VerifiedTokens::default();
        cache.put(&TokenDigest::of("one"), verified(1), 0);

        assert!(cache.get(&TokenDigest::of("one")).is_some());
        assert!(cache.get(&TokenDigest::of("onf")).is_none());
        assert!(cache.get(&TokenDigest::of("")).is_none());
    }

    #[test]
    fn more_tokens_than_there_is_room_for_replace_others() {
        let cache = VerifiedTokens::default();

        for token in 0..3 * SHARDS * PER_SHARD {
            cache.put(&TokenDigest::of(&token.to_string()), verified(100), 0);
        }

        assert_eq!(len(&cache), SHARDS * PER_SHARD);
    }

    #[test]
    fn tokens_that_have_ended_make_room_first() {
        let cache = VerifiedTokens::default();
        for token in 0..3 * SHARDS * PER_SHARD {
            cache.put(&TokenDigest::of(&token.to_string()), verified(100), 0);
        }

        for token in 0..200 {
            cache.put(&TokenDigest::of(&format!("later-{token}")), verified(1000), 100);
        }

        assert!((0..200).all(|token| cache.get(&TokenDigest::of(&format!("later-{token}"))).is_some()));
        assert!(len(&cache) <= 200);
    }
}
