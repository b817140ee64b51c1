//! Callers of a cluster's proxy: whoever has a token that a published key signed, and a row in the access table.
//!
//! Files are decoded here, and read and watched by `reload`. What cannot be decoded leaves what was in force; a shard
//! or key set that was never there makes the answer "unavailable", not "unauthenticated".

use std::collections::HashMap;
use std::sync::Arc;

use vibectl_config::{Access, mount};
use vibectl_token::table::{Row, SHARDS, decode_shard, shard_of};
use vibectl_token::{Expectation, KeySet, verify};

use crate::auth::verified::{TokenDigest, VerifiedTokens};
use crate::auth::{Cause, Denied};
use crate::caller::Caller;
use crate::parts::Files;

/// Keys and rows in force.
#[derive(Debug)]
pub(super) struct AccessState {
    issuer: String,
    audience: String,
    keys: Option<Arc<Keys>>,
    shards: [Option<Arc<Shard>>; SHARDS],
}

/// What became of the newest files.
#[derive(Debug, Default)]
pub struct Accepted {
    /// The content in force, some of it older where the newest cannot be read: what the revision is made of.
    pub in_force: Files,
    /// What is wrong with the newest content. Empty: all of it is in force.
    pub problems: Vec<String>,
    /// How many of the problems are rows, each of which costs only itself.
    pub rejected_rows: usize,
}

/// A key set, with the tokens that it verified.
#[derive(Debug)]
struct Keys {
    file: Vec<u8>,
    set: KeySet,
    verified: VerifiedTokens,
}

#[derive(Debug)]
struct Shard {
    file: Vec<u8>,
    grants: HashMap<String, Grant>,
    rejected: Vec<String>,
}

/// A row as the data path wants it.
#[derive(Debug)]
struct Grant {
    caller: Arc<Caller>,
    min_iat: i64,
}

impl AccessState {
    /// Decodes the files. Unchanged ones are taken from what was in force, with the tokens verified so far.
    pub(super) fn load(access: &Access, files: &Files, last: Option<&Self>) -> (Self, Accepted) {
        let mut accepted = Accepted::default();
        let keys = renewed(
            files.get(mount::JWKS_FILE),
            last.and_then(|last| last.keys.as_ref()),
            mount::JWKS_FILE,
            Keys::decode,
            &mut accepted,
        );
        let mut shards: [Option<Arc<Shard>>; SHARDS] = Default::default();
        for (index, shard) in shards.iter_mut().enumerate() {
            let name = mount::shard_file(index);
            let last = last.and_then(|last| last.shards.get(index)?.as_ref());
            *shard = renewed(files.get(&name), last, &name, |file| Shard::decode(index, file), &mut accepted);
            let rejected = shard.iter().flat_map(|shard| &shard.rejected);
            accepted.rejected_rows += rejected.clone().count();
            accepted.problems.extend(rejected.map(|reason| format!("{name}: {reason}")));
        }
        (Self { issuer: access.issuer.clone(), audience: access.audience.clone(), keys, shards }, accepted)
    }

    /// Whether every token can be judged.
    pub(super) fn is_complete(&self) -> bool {
        self.keys.as_ref().is_some_and(|keys| !keys.set.is_empty()) && self.shards.iter().all(Option::is_some)
    }

    /// The holder of the token, by its row.
    pub(super) fn caller(&self, token: &str, now: i64) -> Result<Arc<Caller>, Denied> {
        let keys = self.keys.as_ref().filter(|keys| !keys.set.is_empty()).ok_or(Cause::Unavailable)?;
        let expected = Expectation { issuer: &self.issuer, audience: &self.audience };
        let claims = keys.verify(&expected, token, now)?;
        let refused = |cause| Denied { cause, subject: Some(claims.sub.clone()) };
        let shard = self.shards.get(shard_of(&claims.uid)).and_then(Option::as_ref);
        let shard = shard.ok_or_else(|| refused(Cause::Unavailable))?;
        let grant = shard.grants.get(&claims.uid).ok_or_else(|| refused(Cause::NoRow))?;
        if claims.iat < grant.min_iat {
            return Err(refused(Cause::Revoked));
        }
        Ok(Arc::clone(&grant.caller))
    }
}

impl Keys {
    fn decode(file: &[u8]) -> Result<Self, String> {
        let set = KeySet::parse(file).map_err(|error| error.to_string())?;
        Ok(Self { file: file.to_owned(), set, verified: VerifiedTokens::default() })
    }

    fn verify(
        &self,
        expected: &Expectation<'_>,
        token: &str,
        now: i64,
    ) -> Result<Arc<vibectl_token::Claims>, Denied> {
        let digest = TokenDigest::of(token);
        if let Some(claims) = self.verified.get(&digest) {
            claims.check(expected, now)?;
            return Ok(claims);
        }
        let claims = Arc::new(verify(&self.set, expected, token, now)?);
        self.verified.put(&digest, Arc::clone(&claims), now);
        Ok(claims)
    }
}

impl Shard {
    fn decode(index: usize, file: &[u8]) -> Result<Self, String> {
        let decoded = decode_shard(file).map_err(|error| error.to_string())?;
        let (rows, strays): (Vec<Row>, Vec<Row>) =
            decoded.rows.into_iter().partition(|row| shard_of(&row.uid) == index);
        let mut rejected = decoded.rejected;
        rejected.extend(strays.iter().map(|row| format!("uid {:?} belongs into another shard", row.uid)));
        Ok(Self { file: file.to_owned(), grants: rows.into_iter().map(grant).collect(), rejected })
    }
}

fn grant(row: Row) -> (String, Grant) {
    let Row { uid, subject, namespace, models, scopes, limits, min_iat } = row;
    let caller = Caller {
        uid: uid.clone(),
        subject,
        namespace: Some(namespace),
        models: models.map(Arc::from),
        scopes: scopes.into_iter().collect(),
        limits,
    };
    (uid, Grant { caller: Arc::new(caller), min_iat })
}

/// What comes from one file.
trait FromFile {
    fn file(&self) -> &[u8];
}

impl FromFile for Keys {
    fn file(&self) -> &[u8] {
        &self.file
    }
}

impl FromFile for Shard {
    fn file(&self) -> &[u8] {
        &self.file
    }
}

/// The decoded file; what was in force where it is the same, gone or not to be read.
fn renewed<T: FromFile>(
    file: Option<&Vec<u8>>,
    last: Option<&Arc<T>>,
    name: &str,
    decode: impl FnOnce(&[u8]) -> Result<T, String>,
    accepted: &mut Accepted,
) -> Option<Arc<T>> {
    let unchanged = last.filter(|last| file.is_some_and(|file| file == last.file()));
    let decoded = match (unchanged, file) {
        (Some(last), _) => Ok(Arc::clone(last)),
        (None, Some(file)) => decode(file).map(Arc::new),
        (None, None) => Err("there is no such file".to_owned()),
    };
    let in_force = decoded
        .map_err(|reason| accepted.problems.push(format!("{name}: {reason}")))
        .ok()
        .or_else(|| last.map(Arc::clone));
    if let Some(in_force) = &in_force {
        accepted.in_force.insert(name.to_owned(), in_force.file().to_owned());
    }
    in_force
}
