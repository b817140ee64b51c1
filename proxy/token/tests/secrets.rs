//! What is secret cannot be printed, not even in a panic or a log line.

use vibectl_token::{Algorithm, Claims, SigningKey, mint, standalone};

#[test]
fn the_debug_form_of_a_secret_says_nothing_of_it() {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let text = |text: &str| text.to_owned();
    let claims = Claims {
        iss: text("i"),
        aud: text("a"),
        sub: text("s"),
        iat: 0,
        nbf: 0,
        exp: 1,
        jti: text("j"),
        uid: text("u"),
    };
    let token = mint(&key, &claims).unwrap();
    let secret = standalone::Secret::new(b"canary-in-the-coal-mine").unwrap();

    assert_eq!(format!("{key:?} {key:#?}"), "SigningKey(..) SigningKey(..)");
    assert_eq!(format!("{token:?} {token:#?}"), "Token(..) Token(..)");
    assert_eq!(format!("{secret:?} {secret:#?}"), "Secret(..) Secret(..)");
}
