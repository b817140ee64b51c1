//! What a pod is to refuse before its table says so: the difference between the table that it has and the newest one. Pure.

use vibectl_proto::fleet::v1::{RefuseRequest, RefusedToken};

use super::book::Grants;

/// What the holder of `shown` accepts and the newest grants, of this revision, do not.
pub fn refusal(shown: &Grants, newest: &Grants, revision: &str) -> RefuseRequest {
    let token = |(uid, row): (&String, &std::sync::Arc<vibectl_token::table::Row>)| {
        let issued_before = match newest.rows.get(uid) {
            None => 0,
            Some(now) if now.min_iat > row.min_iat => now.min_iat,
            Some(_) => return None,
        };
        Some(RefusedToken { token_uid: uid.clone(), issued_before })
    };
    RefuseRequest {
        revision: revision.to_owned(),
        tokens: shown.rows.iter().filter_map(token).collect(),
        keys: shown.keys.difference(&newest.keys).cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vibectl_token::{Limits, table::Row};

    use super::*;

    fn grants(rows: &[(&str, i64)], keys: &[&str]) -> Grants {
        let row = |(uid, min_iat): &(&str, i64)| {
            let row = Row {
                uid: (*uid).to_owned(),
                subject: format!("ai/{uid}"),
                namespace: "ai".to_owned(),
                models: None,
                scopes: Vec::new(),
                limits: Limits::default(),
                min_iat: *min_iat,
                issued: true,
                identities: Vec::new(),
            };
            ((*uid).to_owned(), Arc::new(row))
        };
        Grants {
            rows: rows.iter().map(row).collect(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        }
    }

    #[test]
    fn what_was_taken_back_is_refused_and_what_was_given_is_not_touched() {
        let shown = grants(&[("gone", 0), ("revoked", 0), ("same", 5)], &["old", "both"]);
        let newest = grants(&[("revoked", 100), ("same", 5), ("new", 0)], &["both", "new"]);

        let request = refusal(&shown, &newest, "r2");

        let token =
            |token_uid: &str, issued_before| RefusedToken { token_uid: token_uid.to_owned(), issued_before };
        assert_eq!(request.revision, "r2");
        assert_eq!(request.tokens, [token("gone", 0), token("revoked", 100)]);
        assert_eq!(request.keys, ["old"]);
    }
}
