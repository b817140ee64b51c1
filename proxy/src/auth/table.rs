//! Callers of a cluster's proxy: whoever has a token that a published key signed, and a row in the access table.
//! Other issuers, and for a time a shared secret, tell who calls; the row is needed all the same.
//!
//! Files are decoded here, and read and watched by `reload`. What cannot be decoded leaves what was in force; a shard
//! or key set that was never there makes the answer "unavailable", not "unauthenticated".

use std::collections::HashMap;
use std::sync::Arc;

use vibectl_config::{Access, mount};
use vibectl_token::foreign::claimed_issuer;
use vibectl_token::migration::MIGRATION;
use vibectl_token::table::{Identity, Row, SHARDS, decode_shard, shard_of};
use vibectl_token::{Claims, Expectation, KeySet, Verified, verify};

use crate::auth::cause::{Cause, Denied};
use crate::auth::foreign::{Issuers, Known};
use crate::auth::migration::Migrating;
use crate::auth::named::Named;
use crate::auth::principal::{Credential, Principal};
use crate::auth::verified::{TokenDigest, VerifiedTokens};
use crate::caller::Caller;
use crate::metrics::family::Family;
use crate::parts::Files;
use crate::provider::address::AddressRule;

/// Keys and rows in force.
#[derive(Debug)]
pub(super) struct AccessState {
    issuer: String,
    audience: String,
    keys: Option<Arc<Keys>>,
    issuers: Option<Arc<Issuers>>,
    migrating: Option<Arc<Migrating>>,
    shards: [Option<Arc<Shard>>; SHARDS],
    /// Rows of all shards by the identities that they name.
    named: Named,
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

/// Who else than ourselves can have issued a token.
enum Other<'a> {
    Issuer(&'a Known),
    Secret(&'a Migrating),
}

/// A key set, with the tokens that it verified.
#[derive(Debug)]
struct Keys {
    file: Vec<u8>,
    set: KeySet,
    verified: VerifiedTokens<Verified>,
}

#[derive(Debug)]
struct Shard {
    file: Vec<u8>,
    grants: HashMap<String, Grant>,
    /// The identities that rows name, with the UIDs of the rows.
    identities: Vec<(Identity, String)>,
    rejected: Vec<String>,
}

/// A row as the data path wants it.
#[derive(Debug)]
struct Grant {
    caller: Arc<Caller>,
    min_iat: i64,
    issued: bool,
}

impl Grant {
    fn accepts(&self, issued_at: i64) -> Result<&Arc<Caller>, Cause> {
        if issued_at < self.min_iat { Err(Cause::Revoked) } else { Ok(&self.caller) }
    }
}

impl AccessState {
    /// Decodes the files. Unchanged ones are taken from what was in force, with the tokens verified so far.
    pub(super) fn load(
        access: &Access,
        files: &Files,
        last: Option<&Self>,
        fetches: &Arc<Family<1>>,
    ) -> (Self, Accepted) {
        let mut accepted = Accepted::default();
        let issuers = issuers(files, last.and_then(|last| last.issuers.as_ref()), fetches, &mut accepted);
        let migrating = Migrating::load(files, &mut accepted).map(Arc::new);
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
        let (issuer, audience) = (access.issuer.clone(), access.audience.clone());
        let named = Named::of(shards.iter().flatten().flat_map(|shard| &shard.identities));
        (Self { issuer, audience, keys, issuers, migrating, shards, named }, accepted)
    }

    /// Whether every token can be judged.
    pub(super) fn is_complete(&self) -> bool {
        self.keys.as_ref().is_some_and(|keys| !keys.set.is_empty()) && self.shards.iter().all(Option::is_some)
    }

    /// The holder of the token, by its row.
    pub(super) fn principal(&self, token: &str, now: i64) -> Result<Principal, Denied> {
        match self.other(token) {
            Some(Other::Issuer(issuer)) => return self.foreign_principal(issuer, token, now),
            Some(Other::Secret(migrating)) => return self.migrating_principal(migrating, token, now),
            None => {}
        }
        let keys = self.keys.as_ref().filter(|keys| !keys.set.is_empty()).ok_or(Cause::Unavailable)?;
        let expected = Expectation { issuer: &self.issuer, audience: &self.audience };
        let verified = keys.verify(&expected, token, now)?;
        let refused = |cause| Denied { subject: Some(verified.claims.sub.clone()), ..Denied::from(cause) };
        let caller = self.row_for(&verified.claims).map_err(refused)?;
        Ok(Principal { caller: Arc::clone(caller), credential: Credential::Issued(verified) })
    }

    /// Whether key and row of a token that was let in still accept it. What cannot be told is no reason to cut a call.
    pub(super) fn still_accepts(&self, verified: &Verified) -> bool {
        let has_key = self.keys.as_ref().is_none_or(|keys| keys.set.contains(&verified.kid));
        has_key && matches!(self.row_for(&verified.claims), Ok(_) | Err(Cause::Unavailable))
    }

    fn row_for(&self, claims: &Claims) -> Result<&Arc<Caller>, Cause> {
        let shard = self.shards.get(shard_of(&claims.uid)).and_then(Option::as_ref);
        let grant = shard.ok_or(Cause::Unavailable)?.grants.get(&claims.uid);
        let grant = grant.filter(|grant| grant.issued).ok_or(Cause::NoRow)?;
        grant.accepts(claims.iat)
    }

    /// Whoever a row names by a claim of this token.
    fn foreign_principal(&self, issuer: &Known, token: &str, now: i64) -> Result<Principal, Denied> {
        let claims = issuer.verify(token, now)?;
        let refused = |cause| {
            let subject = format!("{} of {}", claims.subject, issuer.name());
            Denied { subject: Some(subject), ..Denied::from(cause) }
        };
        self.let_in(self.named.find(issuer.name(), &claims), claims.issued_at).map_err(refused)
    }

    /// Whoever a row names as the subject of a token of the shared secret.
    fn migrating_principal(&self, migrating: &Migrating, token: &str, now: i64) -> Result<Principal, Denied> {
        let holder = migrating.verify(token, now)?;
        let refused = |cause| {
            let subject = format!("{} of {MIGRATION}", holder.subject);
            Denied { subject: Some(subject), ..Denied::from(cause) }
        };
        self.let_in(self.named.of_subject(MIGRATION, &holder.subject), holder.issued_at).map_err(refused)
    }

    /// Who else than ourselves says to have issued the token, where that is ours to judge.
    fn other(&self, token: &str) -> Option<Other<'_>> {
        let Self { issuers, migrating, .. } = self;
        if issuers.is_none() && migrating.is_none() {
            return None;
        }
        let claimed = claimed_issuer(token).ok()?;
        let issuer = issuers.as_ref().and_then(|issuers| issuers.with_iss(&claimed)).map(Other::Issuer);
        let secret = || migrating.as_deref().filter(|migrating| migrating.issuer() == claimed);
        issuer.or_else(|| secret().map(Other::Secret))
    }

    /// The caller whose row names this identity.
    fn let_in(&self, identity: Option<&Arc<Identity>>, issued_at: Option<i64>) -> Result<Principal, Cause> {
        let identity = identity.ok_or(self.without_row())?;
        let caller = self.grant_of(identity)?.accepts(issued_at.unwrap_or_default())?;
        let credential = Credential::Foreign(Arc::clone(identity), issued_at);
        Ok(Principal { caller: Arc::clone(caller), credential })
    }

    /// Whether there is still a row for this identity that accepts what was issued at that time.
    pub(super) fn still_accepts_foreign(&self, identity: &Identity, issued_at: Option<i64>) -> bool {
        let accepted = self.grant_of(identity).and_then(|grant| grant.accepts(issued_at.unwrap_or_default()));
        let trusted = match identity.issuer.as_str() {
            MIGRATION => self.migrating.is_some(),
            issuer => self.issuers.as_ref().is_some_and(|issuers| issuers.trusts(issuer)),
        };
        trusted && matches!(accepted, Ok(_) | Err(Cause::Unavailable))
    }

    fn grant_of(&self, identity: &Identity) -> Result<&Grant, Cause> {
        let uid = self.named.uid_of(identity).ok_or(self.without_row())?;
        let shard = self.shards.get(shard_of(uid)).and_then(Option::as_ref);
        shard.and_then(|shard| shard.grants.get(uid)).ok_or(self.without_row())
    }

    /// Who is not found in a table that is not whole may be in the rest of it.
    fn without_row(&self) -> Cause {
        if self.shards.iter().all(Option::is_some) { Cause::NoRow } else { Cause::Unavailable }
    }
}

impl Keys {
    fn decode(file: &[u8]) -> Result<Self, String> {
        let set = KeySet::parse(file).map_err(|error| error.to_string())?;
        Ok(Self { file: file.to_owned(), set, verified: VerifiedTokens::default() })
    }

    fn verify(&self, expected: &Expectation<'_>, token: &str, now: i64) -> Result<Arc<Verified>, Denied> {
        let digest = TokenDigest::of(token);
        if let Some(verified) = self.verified.get(&digest) {
            verified.claims.check(expected, now)?;
            return Ok(verified);
        }
        let verified = Arc::new(verify(&self.set, expected, token, now)?);
        self.verified.put(&digest, Arc::clone(&verified), now);
        Ok(verified)
    }
}

impl Shard {
    fn decode(index: usize, file: &[u8]) -> Result<Self, String> {
        let decoded = decode_shard(file).map_err(|error| error.to_string())?;
        let (rows, strays): (Vec<Row>, Vec<Row>) =
            decoded.rows.into_iter().partition(|row| shard_of(&row.uid) == index);
        let mut rejected = decoded.rejected;
        rejected.extend(strays.iter().map(|row| format!("uid {:?} belongs into another shard", row.uid)));
        let named =
            |row: &Row| row.identities.iter().map(|one| (one.clone(), row.uid.clone())).collect::<Vec<_>>();
        let identities = rows.iter().flat_map(named).collect();
        let grants = rows.into_iter().map(grant).collect();
        Ok(Self { file: file.to_owned(), grants, identities, rejected })
    }
}

fn grant(row: Row) -> (String, Grant) {
    let Row { uid, subject, namespace, models, scopes, limits, min_iat, issued, identities: _ } = row;
    let caller = Caller {
        uid: uid.clone(),
        subject,
        namespace: Some(namespace),
        models: models.map(Arc::from),
        scopes: scopes.into_iter().collect(),
        limits,
    };
    (uid, Grant { caller: Arc::new(caller), min_iat, issued })
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

/// The other issuers: none is fine, and then none is trusted. A list that cannot be read leaves what was in force.
fn issuers(
    files: &Files,
    last: Option<&Arc<Issuers>>,
    fetches: &Arc<Family<1>>,
    accepted: &mut Accepted,
) -> Option<Arc<Issuers>> {
    let file = files.get(mount::ISSUERS_FILE)?;
    let unchanged = last.filter(|last| last.file() == file);
    let decoded = match unchanged {
        Some(last) => Ok(Arc::clone(last)),
        None => Issuers::decode(file, last.map(AsRef::as_ref), AddressRule::Guarded, fetches).map(Arc::new),
    };
    let in_force = decoded
        .map_err(|reason| accepted.problems.push(format!("{}: {reason}", mount::ISSUERS_FILE)))
        .ok()
        .or_else(|| last.map(Arc::clone))?;
    accepted.in_force.insert(mount::ISSUERS_FILE.to_owned(), in_force.file().to_owned());
    Some(in_force)
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
