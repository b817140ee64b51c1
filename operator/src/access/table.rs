//! All ProxyTokens of one LlmProxy: the table, and the guard that keeps it from shrinking by mistake. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kube::ResourceExt;
use vibectl_token::table::{EncodeError, Row, SHARDS, encode_shards};

use super::{
    identity,
    judge::{allows, judge},
};
use crate::{
    api::{LlmProxy, ProxyToken},
    context::cache::Gaps,
    fleet::book::Grants,
};

/// Fewer rows than this may vanish unseen: deletions while the operator was away are common in small numbers, and a
/// wrong list (lost rights, a wrong selector, a restored backup) takes most of a table at once.
const HELD_FROM: usize = 8;

/// What is known of the ProxyTokens of one LlmProxy.
pub struct Tokens<'a> {
    /// Those that exist and fit.
    pub present: &'a [Arc<ProxyToken>],
    /// Those that may exist, but cannot be read.
    pub gaps: &'a Gaps,
    /// The rows that pods have now, by UID.
    pub previous: &'a BTreeMap<String, Row>,
    /// Whether the deletion of the ProxyToken with this UID was seen.
    pub departed: &'a dyn Fn(&str) -> bool,
    /// The labels of a namespace that exists.
    pub labels: &'a dyn Fn(&str) -> Option<BTreeMap<String, String>>,
    /// The user said that the table may shrink.
    pub may_shrink: bool,
}

/// An access table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its rows, by UID.
    pub rows: BTreeMap<String, Arc<Row>>,
    /// The same as the files that pods mount.
    pub shards: [Vec<u8>; SHARDS],
    /// Rows that are kept although their ProxyTokens are not there.
    pub held: Option<Held>,
    /// How long keys that sign are needed.
    pub lives: Lives,
}

/// Lives of the credentials of all ProxyTokens of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lives {
    /// The longest that a new one gets, in seconds. Who has no row gets none, whatever is asked for.
    pub longest: i64,
    /// When the last one that was issued ends, seconds since 1970. Those without a row now count: they may come back.
    pub last_end: i64,
    /// Every ProxyToken is known, so that nothing else can be good.
    pub complete: bool,
}

impl Lives {
    /// No credential that is good, or is issued now, ends later; `None` when that cannot be told.
    pub fn covered_until(&self, now: i64) -> Option<i64> {
        self.complete.then(|| self.last_end.max(now.saturating_add(self.longest)))
    }
}

/// How much of a table is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Rows whose ProxyTokens are not there, and whose deletion was not seen.
    pub missing: usize,
    /// Rows that the table had.
    pub of: usize,
}

impl Table {
    /// What pods that have this table and these public keys accept.
    pub fn grants(&self, keys: BTreeSet<String>) -> Grants {
        Grants { rows: self.rows.clone(), keys }
    }
}

/// The table of this LlmProxy.
pub fn build(proxy: &LlmProxy, tokens: &Tokens<'_>) -> Result<Table, EncodeError> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut lives = Lives::default();
    let holders = identity::holders(proxy, tokens.present, tokens.labels);
    for token in tokens.present {
        let labels = (tokens.labels)(&token.namespace().unwrap_or_default());
        lives.last_end = lives.last_end.max(last_end(token));
        if let Ok(granted) = judge(proxy, token, labels.as_ref()) {
            let has = |identity| holders.get(identity) == Some(&granted.row.uid);
            if !identity::of(token).iter().all(has) {
                continue;
            }
            if granted.row.issued {
                lives.longest = lives.longest.max(granted.ttl);
            }
            rows.insert(granted.row.uid.clone(), granted.row);
        }
    }
    for row in tokens.previous.values().filter(|row| unreadable(tokens.gaps, row)) {
        let labels = (tokens.labels)(&row.namespace);
        if allows(proxy, &row.namespace, labels.as_ref()) {
            rows.entry(row.uid.clone()).or_insert_with(|| row.clone());
        }
    }
    let held = hold(&mut rows, tokens);
    lives.complete = held.is_none() && *tokens.gaps == Gaps::default();
    let shards = encode_shards(rows.values())?;
    let rows = rows.into_iter().map(|(uid, row)| (uid, Arc::new(row))).collect();
    Ok(Table { rows, shards, held, lives })
}

/// Puts rows back that have gone for no reason that was seen, when they are more than half of the table.
fn hold(rows: &mut BTreeMap<String, Row>, tokens: &Tokens<'_>) -> Option<Held> {
    let present: BTreeSet<_> = tokens.present.iter().filter_map(|token| token.uid()).collect();
    let unexplained: Vec<_> = tokens
        .previous
        .values()
        .filter(|row| !rows.contains_key(&row.uid) && !unreadable(tokens.gaps, row))
        .filter(|row| !present.contains(&row.uid) && !(tokens.departed)(&row.uid))
        .cloned()
        .collect();
    let held = Held { missing: unexplained.len(), of: tokens.previous.len() };
    let alarming = held.missing >= HELD_FROM && held.missing * 2 > held.of;
    if !alarming || tokens.may_shrink {
        return None;
    }
    rows.extend(unexplained.into_iter().map(|row| (row.uid.clone(), row)));
    Some(held)
}

/// When the last credential of this ProxyToken ends.
fn last_end(token: &ProxyToken) -> i64 {
    let status = token.status.as_ref();
    let ends = status.map(|status| [&status.expires_at, &status.earlier_until]);
    ends.into_iter().flatten().flatten().map(|end| end.0.as_second()).max().unwrap_or_default()
}

fn unreadable(gaps: &Gaps, row: &Row) -> bool {
    gaps.namespaces.contains(&row.namespace) || gaps.objects.contains_key(&row.uid)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vibectl_token::table::decode_shard;

    use super::*;

    fn proxy() -> LlmProxy {
        let object = json!({
            "apiVersion": "vibectl.dev/v1alpha1", "kind": "LlmProxy",
            "metadata": {"name": "team", "namespace": "ai", "uid": "p-uid"},
            "spec": {"access": {"allowedNamespaces": {"from": "All"}}},
        });
        serde_json::from_value(object).unwrap()
    }

    fn token(number: usize, suspended: bool) -> Arc<ProxyToken> {
        let object = json!({
            "apiVersion": "vibectl.dev/v1alpha1", "kind": "ProxyToken",
            "metadata": {"name": format!("t{number}"), "namespace": "ai", "uid": format!("uid-{number}")},
            "spec": {"proxyRef": {"name": "team"}, "suspended": suspended},
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn tokens(count: usize) -> Vec<Arc<ProxyToken>> {
        (0..count).map(|number| token(number, false)).collect()
    }

    /// What a table of so many tokens held before.
    fn rows(count: usize) -> BTreeMap<String, Row> {
        let table = build(&proxy(), &input(&tokens(count), &Gaps::default(), &BTreeMap::new())).unwrap();
        table.rows.into_iter().map(|(uid, row)| (uid, row.as_ref().clone())).collect()
    }

    fn input<'a>(
        present: &'a [Arc<ProxyToken>],
        gaps: &'a Gaps,
        previous: &'a BTreeMap<String, Row>,
    ) -> Tokens<'a> {
        Tokens { present, gaps, previous, departed: &|_| false, labels: &|_| None, may_shrink: false }
    }

    #[test]
    fn the_same_tokens_in_any_order_give_the_same_bytes() {
        let mut present = tokens(20);
        let (gaps, none) = (Gaps::default(), BTreeMap::new());
        let one = build(&proxy(), &input(&present, &gaps, &none)).unwrap();

        present.reverse();
        let other = build(&proxy(), &input(&present, &gaps, &none)).unwrap();

        assert_eq!(one, other);
        let decoded: usize = one.shards.iter().map(|shard| decode_shard(shard).unwrap().rows.len()).sum();
        assert_eq!(decoded, 20);
    }

    #[test]
    fn a_suspended_token_leaves_the_table_however_many_there_are() {
        let suspended: Vec<_> = (0..20).map(|number| token(number, true)).collect();
        let (gaps, previous) = (Gaps::default(), rows(20));

        let table = build(&proxy(), &input(&suspended, &gaps, &previous)).unwrap();

        assert!(table.rows.is_empty() && table.held.is_none());
    }

    #[test]
    fn a_table_that_loses_most_rows_unseen_is_held_but_other_changes_go_through() {
        let (gaps, previous) = (Gaps::default(), rows(20));
        let mut present = vec![token(0, true)];
        present.push(token(99, false));

        let table = build(&proxy(), &input(&present, &gaps, &previous)).unwrap();

        assert_eq!(table.held, Some(Held { missing: 19, of: 20 }));
        assert!(!table.rows.contains_key("uid-0"), "suspending works while the table is held");
        assert!(table.rows.contains_key("uid-99"), "so does a new token");
        assert_eq!(table.rows.len(), 20);
        assert_eq!(table.lives.covered_until(0), None, "their credentials may be good yet");
    }

    #[test]
    fn only_what_is_granted_or_was_issued_needs_keys() {
        let token = |ttl: &str, namespace: &str, suspended: bool, end: Option<&str>| {
            let object = json!({
                "apiVersion": "vibectl.dev/v1alpha1", "kind": "ProxyToken",
                "metadata": {"name": ttl, "namespace": namespace, "uid": ttl},
                "spec": {"proxyRef": {"name": "team", "namespace": "ai"}, "ttl": ttl, "suspended": suspended},
                "status": {"expiresAt": end},
            });
            Arc::new(serde_json::from_value(object).unwrap())
        };
        let mut proxy = proxy();
        proxy.spec.access = serde_json::from_value(json!({"ceilings": {"ttl": "2h"}})).unwrap();
        let (gaps, none) = (Gaps::default(), BTreeMap::new());
        let lives = |present: &[Arc<ProxyToken>]| build(&proxy, &input(present, &gaps, &none)).unwrap().lives;

        let refused = lives(&[token("87600h", "other", false, None), token("50h", "ai", true, None)]);
        let cut = lives(&[token("72h", "ai", false, None), token("1h", "ai", false, None)]);
        let issued = lives(&[token("50h", "ai", true, Some("1970-01-01T10:00:00Z"))]);

        assert_eq!(refused, Lives { longest: 0, last_end: 0, complete: true });
        assert_eq!(cut.longest, 7200);
        assert_eq!((issued.covered_until(5), issued.longest), (Some(36_000), 0));
    }

    #[test]
    fn seen_deletions_the_override_and_small_losses_are_not_held() {
        let (gaps, previous) = (Gaps::default(), rows(20));
        let nothing: Vec<Arc<ProxyToken>> = Vec::new();
        let unseen = input(&nothing, &gaps, &previous);
        let few = rows(HELD_FROM - 1);

        for explained in [
            Tokens { departed: &|_| true, ..input(&nothing, &gaps, &previous) },
            Tokens { may_shrink: true, ..input(&nothing, &gaps, &previous) },
            input(&nothing, &gaps, &few),
        ] {
            let table = build(&proxy(), &explained).unwrap();
            assert!(table.rows.is_empty() && table.held.is_none());
        }
        assert!(build(&proxy(), &unseen).unwrap().held.is_some());
    }

    #[test]
    fn rows_of_an_unreadable_namespace_and_of_a_malformed_object_stay() {
        let previous = rows(2);
        let nothing: Vec<Arc<ProxyToken>> = Vec::new();
        let namespace = Gaps { namespaces: BTreeSet::from(["ai".to_owned()]), ..Gaps::default() };
        let object =
            Gaps { objects: BTreeMap::from([("uid-1".to_owned(), "ai/t1".to_owned())]), ..Gaps::default() };

        let whole = build(&proxy(), &input(&nothing, &namespace, &previous)).unwrap();
        let one = build(&proxy(), &input(&nothing, &object, &previous)).unwrap();

        assert_eq!(whole.rows.len(), 2);
        assert_eq!(one.rows.keys().collect::<Vec<_>>(), ["uid-1"]);
        assert!(whole.held.is_none() && one.held.is_none());
        assert_eq!([whole, one].map(|table| table.lives.covered_until(0)), [None, None]);
    }
}
