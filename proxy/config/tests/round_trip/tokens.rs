//! Everything that `jwt` can say.

use jiff::{SignedDuration, Timestamp};
use proptest::{collection, option, prelude::*};
use vibectl_config::{Jwt, JwtAlgorithm, JwtCaller, JwtIssuer, JwtMigration};
use vibectl_token::Algorithm;

use super::{path, text};

prop_compose! {
    fn issuer()(
        name in "[a-z][a-z0-9-]{0,20}[a-z0-9]",
        issuer in text().prop_map(|text| format!("https://{text}")),
        audiences in collection::vec(text(), 1..=3),
        keys in option::of(path()),
        (claim, value, subject) in (text(), text(), text()),
    ) -> JwtIssuer {
        let (jwks_file, jwks_url) = match keys {
            Some(file) => (Some(file), None),
            None => (None, Some("https://keys.example.org/jwks".to_owned())),
        };
        let callers = vec![JwtCaller { claim, value, subject }];
        JwtIssuer { name, issuer, audiences, jwks_file, jwks_url, ca_file: None, callers }
    }
}

prop_compose! {
    pub(crate) fn jwt()(
        enabled: bool,
        secret_key_file in option::of(path()),
        issuer in text(),
        expiration_days in 1..=36_500_u32,
        until in option::of(0..=4_000_000_000_i64),
        issuers in collection::vec(issuer(), 0..=1),
    ) -> Jwt {
        let migration = until.map(|until| JwtMigration { until: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(until) });
        let algorithm = match migration {
            Some(_) => JwtAlgorithm::SigningKeys(Algorithm::Es256),
            None => JwtAlgorithm::Hs256,
        };
        Jwt { enabled, secret_key_file, issuer, expiration_days, algorithm, migration, issuers, ..Jwt::default() }
    }
}
