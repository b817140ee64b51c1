//! Google's models on Vertex AI: the dialect of Gemini, with tokens that a service account asks for.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use crate::{
    fake_provider::{Fake, Script},
    proxy::{Proxy, ask},
};

const WHOLE: &str = include_str!("../golden/gemini/tools.response.json");
const STREAM: &str = include_str!("../golden/gemini/tools.response.sse");
const QUESTION: &str = r#"{"messages":[{"role":"user","content":"what is there?"}]}"#;

/// A key file as Google makes it.
fn key_file(token_uri: &str) -> String {
    let key = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).expect("PKCS 8");
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        BASE64_STANDARD.encode(der.as_ref())
    );
    let email = "caller@p.iam.gserviceaccount.com";
    json!({"type": "service_account", "private_key": pem, "client_email": email, "token_uri": token_uri})
        .to_string()
}

fn token() -> Script {
    Script::body("application/json", r#"{"access_token":"ya29.x","expires_in":3599,"token_type":"Bearer"}"#)
}

/// The API, the maker of tokens, and a proxy before both.
async fn before(api: Script, tokens: Script) -> (Fake, Fake, Proxy, tempfile::TempDir) {
    let (api, tokens) = (Fake::start(api).await, Fake::start(tokens).await);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key.json");
    std::fs::write(&file, key_file(&format!("http://{}/token", tokens.address))).expect("written");
    let proxy = Proxy::start(&format!(
        "server: {{default_model: small}}\n\
         providers: [{{name: google, vertex: {{project: my-project, region: europe-west4, \
         base_url: 'http://{}/v1', service_account_file: '{}'}}}}]\n\
         models: [{{name: small, routes: [{{provider: google, model: gemini-x}}]}}]",
        api.address,
        file.display()
    ))
    .await;
    (api, tokens, proxy, folder)
}

#[tokio::test]
async fn calls_go_to_the_project_with_one_token_and_the_key_goes_nowhere() {
    let (api, tokens, proxy, _folder) = before(Script::body("application/json", WHOLE), token()).await;

    let response: Value = proxy.chat(QUESTION).await.json().await.expect("JSON");
    proxy.chat(QUESTION).await;

    assert_eq!(response["choices"][0]["message"]["content"], "Let me look.");
    let path =
        "/v1/projects/my-project/locations/europe-west4/publishers/google/models/gemini-x:generateContent";
    assert_eq!(api.paths(), [path; 2]);
    for (headers, _) in api.requests() {
        assert_eq!(headers["authorization"], "Bearer ya29.x");
    }
    assert_eq!(proxy.tokens(), (2 * 472, 2 * 89));
    assert_eq!(tokens.paths(), ["/token"], "one token for both calls");
    let (headers, body) = &tokens.requests()[0];
    assert!(!headers.contains_key("authorization"));
    assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
    let body = std::str::from_utf8(body).expect("text");
    let assertion = body
        .strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
        .expect("the grant");
    let claims = assertion.split('.').nth(1).map(|part| BASE64_URL_SAFE_NO_PAD.decode(part));
    let claims: Value = serde_json::from_slice(&claims.expect("claims").expect("base64")).expect("JSON");
    assert_eq!(claims["iss"], "caller@p.iam.gserviceaccount.com");
    assert_eq!(claims["aud"], format!("http://{}/token", tokens.address));
}

#[tokio::test]
async fn a_stream_is_that_of_gemini() {
    let (api, _tokens, proxy, _folder) = before(Script::body("text/event-stream", STREAM), token()).await;

    let (text, end) = proxy.stream(ask("hello")).await;

    assert_eq!((text.as_str(), end), ("Let me löok.", Ok("small".to_owned())));
    assert!(api.paths()[0].ends_with("/models/gemini-x:streamGenerateContent?alt=sse"), "{:?}", api.paths());
}

#[tokio::test]
async fn an_account_that_gets_no_token_is_our_trouble_and_nothing_is_sent() {
    let refused =
        Script::body("application/json", r#"{"error":"invalid_grant","error_description":"secret"}"#);
    for (tokens, told) in [
        (refused.with_status(400), "the provider does not accept the service account of this server"),
        (Script::body("application/json", "{}"), "the provider's answer is no token"),
        (token().with_status(503), "the provider failed (status 503)"),
    ] {
        let (api, _tokens, proxy, _folder) = before(Script::body("application/json", WHOLE), tokens).await;

        let (_, message) = proxy.execute(ask("hello")).await.expect_err("no token");

        assert_eq!(message, format!("provider google: {told}"));
        assert!(api.requests().is_empty());
    }
}

#[tokio::test]
async fn in_a_cluster_a_token_is_not_asked_for_at_the_pod_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key.json");
    let config = format!(
        "access: {{issuer: i, audience: a}}\n\
         server: {{default_model: small}}\n\
         providers: [{{name: google, vertex: {{project: p, region: r, base_url: 'http://model.test/v1', \
         service_account_file: '{}'}}}}]\n\
         models: [{{name: small, routes: [{{provider: google, model: m}}]}}]",
        file.display()
    );
    for (host, refused) in [("127.0.0.1", "a loopback address"), ("169.254.169.254", "a link-local address")]
    {
        std::fs::write(&file, key_file(&format!("http://{host}/token"))).expect("written");

        let (_, message) =
            Proxy::start(&config).await.execute(ask("hello")).await.expect_err("an address of the pod");

        assert_eq!(
            message,
            format!(
                "provider google: the provider is off: the token_uri in its service account key is {refused}"
            )
        );
    }
}
