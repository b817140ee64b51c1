//! What a call cost: told where the price is known, absent where it is not, booked once whatever happens.

use vibectl_proto::llm_proxy::{ExecutionMetrics, execute_response::Result as Outcome};
use vibectl_server::cost::Cost;

use crate::{
    fake_provider::{Fake, Script, Step, delta},
    proxy::{Proxy, ask},
};

/// A provider whose answers take 11 and 7 tokens, at two dollars and ten dollars for a million.
async fn priced(script: Script) -> (Fake, Proxy) {
    let fake = Fake::start(script).await;
    let proxy = Proxy::start(&format!(
        "server: {{default_model: small}}\n\
         providers: [{{name: local, retries: {{attempts: 0}}, openai: {{base_url: '{}'}}}}]\n\
         models: [{{name: small, routes: [{{provider: local, model: m, price: {{input: 2, output: 10.0}}}}]}}]",
        fake.base_url()
    ))
    .await;
    (fake, proxy)
}

async fn metrics_of(proxy: &Proxy) -> ExecutionMetrics {
    let response = proxy.grpc().await.execute(ask("hello")).await.expect("accepted").into_inner();
    let Some(Outcome::Success(success)) = response.result else { panic!("a success") };
    success.metrics.expect("there")
}

/// What all calls of the only caller cost, as usage tells it.
fn booked(proxy: &Proxy) -> Option<f64> {
    proxy.shared.usage.totals()[0].cost.map(Cost::dollars)
}

#[tokio::test]
async fn a_call_whose_price_is_known_tells_its_cost_to_the_last_digit() {
    let (_fake, proxy) = priced(Script::answer("hi")).await;

    assert_eq!(metrics_of(&proxy).await.cost_usd, Some(0.000_092));
    metrics_of(&proxy).await;

    let metrics = proxy.shared.metrics.render();
    assert!(metrics.contains("vibectl_cost_usd_total{provider=\"local\"} 0.000184\n"), "{metrics}");
    assert_eq!(booked(&proxy), Some(0.000_184));
}

#[tokio::test]
async fn a_cost_that_is_not_known_is_absent_and_not_zero() {
    let fake = Fake::start(Script::answer("hi")).await;
    let proxy = Proxy::before(&[fake.base_url()]).await;

    assert_eq!(metrics_of(&proxy).await.cost_usd, None);

    assert!(!proxy.shared.metrics.render().contains("vibectl_cost_usd_total{"));
    assert_eq!(booked(&proxy), None);
}

#[tokio::test]
async fn tokens_that_the_provider_had_seen_before_cost_their_own_price() {
    let usage =
        r#"{"prompt_tokens":1000,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":900}}"#;
    let body = format!(r#"{{"choices":[{{"index":0,"message":{{"content":"hi"}}}}],"usage":{usage}}}"#);
    let fake = Fake::start(Script::body("application/json", body)).await;
    let proxy = Proxy::start(&format!(
        "server: {{default_model: small}}\n\
         providers: [{{name: local, openai: {{base_url: '{}'}}}}]\n\
         models: [{{name: small, routes: [{{provider: local, model: m, price: {{input: 1, cached_input: 0.1, output: 4}}}}]}}]",
        fake.base_url()
    ))
    .await;

    assert_eq!(metrics_of(&proxy).await.cost_usd, Some(0.000_19));
}

#[tokio::test]
async fn a_stream_that_its_caller_leaves_costs_what_was_said() {
    let (fake, proxy) = priced(Script::events(&[&delta("eight ch")]).then(Step::Hang)).await;
    let mut stream = proxy.grpc().await.stream_execute(ask("four")).await.expect("accepted").into_inner();
    stream.message().await.expect("the first chunk");

    drop(stream);

    fake.abandoned().await;
    proxy.idle().await;
    // One token of the prompt and two of the answer, estimated.
    assert_eq!(booked(&proxy), Some(0.000_022));
}
