//! Who comes with a credential that will not be good for long is let in, and counted.

use vibectl_server::state::unix_now;
use vibectl_server::usage::Late;
use vibectl_token::{Claims, audience_of, issuer_of, mint};

use super::{Cluster, PROXY, row};

/// A credential of an hour with so many seconds left.
fn token(cluster: &Cluster, seconds: i64) -> (vibectl_token::Token, i64) {
    let exp = unix_now() + seconds;
    let claims = Claims {
        iss: issuer_of(PROXY),
        aud: audience_of(PROXY),
        sub: "ai/alice".to_owned(),
        iat: exp - 3600,
        nbf: exp - 3600,
        exp,
        jti: "1".to_owned(),
        uid: "alice".to_owned(),
    };
    (mint(&cluster.key, &claims).expect("a token"), exp)
}

fn counted(cluster: &Cluster, sample: &str) -> bool {
    cluster.shared.metrics.render().contains(&format!("vibectl_credentials_to_replace_total{sample}"))
}

#[tokio::test]
async fn a_credential_in_the_last_sixth_of_its_life_is_told_with_its_times_and_a_younger_one_is_not() {
    let cluster = Cluster::new(&[row("alice")]);
    let (young, _) = token(&cluster, 700);
    let (late, exp) = token(&cluster, 500);

    assert_eq!(cluster.status(&young).await, 200);
    assert!(cluster.shared.usage.totals().is_empty() && !counted(&cluster, "{reason=\"late\"} 1"));
    assert_eq!(cluster.status(&late).await, 200);
    assert_eq!(cluster.status(&young).await, 200);

    let totals = cluster.shared.usage.totals();
    let Some(Late { issued_at, expires_at, last_used }) = totals[0].late else { panic!("{totals:?}") };
    assert_eq!((totals[0].uid.as_str(), issued_at, expires_at), ("alice", exp - 3600, exp));
    assert!((unix_now() - last_used) < 60);
    assert!(counted(&cluster, "{reason=\"late\"} 1"));
}
