//! Who fails again and again is left out as long as there is somebody else. The state machine is tested in `router/health.rs`.

use vibectl_server::admin;
use vibectl_token::table::{Row, Scope};

use crate::{
    fake_provider::{Fake, Script},
    proxy::{Proxy, ask},
    revoked::{World, row},
    scopes::get,
};

const NO_RETRIES: &str = "retries: {attempts: 0}";

fn down() -> Script {
    Script::body("text/plain", "").with_status(503)
}

/// What Prometheus reads.
async fn metrics(proxy: &Proxy) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let app = admin::routes(std::sync::Arc::clone(&proxy.shared));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let url = format!("http://{address}/metrics");
    crate::proxy::client().get(url).send().await.expect("a response").text().await.expect("text")
}

#[tokio::test]
async fn e15_after_five_failures_calls_go_to_the_next_provider_at_once() {
    let (broken, good) = (Fake::start(down()).await, Fake::start(Script::answer("hi")).await);
    let proxy = Proxy::before_with(NO_RETRIES, &[broken.base_url(), good.base_url()]).await;

    for _ in 0..20 {
        assert_eq!(proxy.execute(ask("hello")).await.as_deref(), Ok("hi"));
    }

    assert_eq!((broken.requests().len(), good.requests().len()), (5, 20));
    let metrics = metrics(&proxy).await;
    for line in [
        r#"vibectl_provider_ejected{provider="p0",model="m-0"} 1"#,
        r#"vibectl_provider_ejected{provider="p1",model="m-1"} 0"#,
        r#"vibectl_provider_passed_over_total{provider="p0",reason="ejected"} 15"#,
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn one_model_of_a_provider_that_fails_leaves_the_others_in_use() {
    let broken = Fake::start(down()).await;
    let url = broken.base_url();
    let proxy = Proxy::start(&format!(
        "providers: [{{name: p, {NO_RETRIES}, openai: {{base_url: '{url}'}}}}, {{name: e, echo: {{}}}}]\n\
         models:\n\
         - {{name: bad, routes: [{{provider: p, model: bad}}, {{provider: e, model: echo, priority: 1}}]}}\n\
         - {{name: other, routes: [{{provider: p, model: other}}, {{provider: e, model: echo, priority: 1}}]}}\n"
    ))
    .await;
    let call = |model: &str| {
        let request =
            vibectl_proto::llm_proxy::ExecuteRequest { model_name: Some(model.to_owned()), ..ask("hello") };
        proxy.execute(request)
    };
    for _ in 0..6 {
        call("bad").await.expect("echo takes over");
    }
    assert_eq!(broken.requests().len(), 5);

    call("other").await.expect("echo takes over");

    assert_eq!(broken.requests().len(), 6, "another model is another endpoint");
}

#[tokio::test]
async fn without_another_provider_an_ejected_one_is_asked_all_the_same_but_not_twice() {
    let scripts = vec![down(); 7].into_iter().chain([Script::answer("back")]).collect();
    let fake = Fake::in_turn(scripts).await;
    let retries = "retries: {attempts: 1, base_ms: 1, cap_ms: 1}";
    let proxy = Proxy::before_with(retries, &[fake.base_url()]).await;

    // Two requests for each call until the fifth failure, then one.
    for requests in [2, 4, 5, 6, 7] {
        proxy.execute(ask("hello")).await.expect_err("down");
        assert_eq!(fake.requests().len(), requests);
    }
    assert!(metrics(&proxy).await.contains(r#"vibectl_provider_ejected{provider="p0",model="m-0"} 1"#));

    assert_eq!(proxy.execute(ask("hello")).await.as_deref(), Ok("back"));

    assert!(metrics(&proxy).await.contains(r#"vibectl_provider_ejected{provider="p0",model="m-0"} 0"#));
}

#[tokio::test]
async fn a_request_that_a_provider_refuses_is_nothing_against_it() {
    let strict = Fake::start(Script::body("application/json", "{}").with_status(400)).await;
    let proxy = Proxy::before_with(NO_RETRIES, &[strict.base_url(), strict.base_url()]).await;

    for _ in 0..10 {
        proxy.execute(ask("hello")).await.expect_err("refused");
    }

    assert!(metrics(&proxy).await.contains(r#"vibectl_provider_ejected{provider="p0",model="m-0"} 0"#));
}

#[tokio::test]
async fn whoever_may_see_the_status_sees_who_is_left_out() {
    let world = World::before(down()).await;
    world.put(&[Row { scopes: vec![Scope::Admin, Scope::Execute], ..row("alice") }], &world.key);
    for _ in 0..5 {
        world.proxy.grpc().await.execute(world.request("alice")).await.expect("a message");
    }

    let (_, status) = get(&world, "/vibectl/v1/status").await;

    let provider = &status["providers"][0];
    assert_eq!(
        (&provider["name"], &provider["ejected"][0]["model"]),
        (&"p0".into(), &"m-0".into()),
        "{status}"
    );
    assert!(provider["ejected"][0]["seconds"].as_u64() <= Some(10), "{status}");
    assert_eq!((&provider["calls"], &provider["key_refused"]), (&0.into(), &false.into()), "{status}");
}
