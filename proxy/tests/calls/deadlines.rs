//! Each of a provider's deadlines by itself, with all others far away, and the caller's, which wins when it is shorter.

use std::time::{Duration, Instant};

use tokio::net::{TcpSocket, TcpStream};
use tonic::Code;

use crate::{
    fake_provider::{Fake, Script, Step, delta},
    proxy::{Proxy, ask},
};

/// Far away, but for the one that `settings` names.
async fn before(settings: &str, base_url: String) -> Proxy {
    Proxy::before_with(&format!("retries: {{attempts: 0}}, {settings}"), &[base_url]).await
}

async fn why(proxy: &Proxy) -> String {
    let (text, end) = proxy.stream(ask("hello")).await;
    format!("{text}|{}", end.expect_err("a failure").1)
}

#[tokio::test]
async fn e07_a_connection_that_is_not_accepted_ends_after_the_connect_timeout() {
    // A listener whose queue is full does not answer at all.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
    let listener = socket.listen(0).expect("listening");
    let address = listener.local_addr().expect("an address");
    let mut queue = Vec::new();
    while let Ok(Ok(waiting)) =
        tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
    {
        queue.push(waiting);
    }
    let proxy = before("connect_timeout_seconds: 1", format!("http://{address}/v1")).await;

    assert_eq!(why(&proxy).await, "|provider p0: the provider cannot be reached");
}

#[tokio::test]
async fn e07_an_answer_that_does_not_begin_ends_after_the_first_byte_timeout() {
    let fake = Fake::start(Script { wait: Duration::from_secs(60), ..Script::answer("late") }).await;
    let proxy = before("first_byte_timeout_seconds: 1", fake.base_url()).await;

    assert_eq!(why(&proxy).await, "|provider p0: the provider did not answer in time");
}

#[tokio::test]
async fn e07_an_answer_that_stops_ends_after_the_idle_timeout_and_a_late_beginning_is_none_of_its_business() {
    let wait = Duration::from_millis(1500);
    let fake = Fake::start(Script { wait, ..Script::events(&[&delta("begun")]).then(Step::Hang) }).await;
    let proxy = before("idle_timeout_seconds: 1", fake.base_url()).await;

    assert_eq!(why(&proxy).await, "begun|provider p0: the provider did not answer in time");
}

#[tokio::test]
async fn e07_an_answer_may_take_longer_than_the_idle_timeout_as_long_as_it_goes_on() {
    let mut script = Script::body("text/event-stream", "");
    for _ in 0..8 {
        let piece = format!("data: {}\n\n", delta("a"));
        script = script.then(Step::Send(piece.into())).then(Step::Wait(Duration::from_millis(400)));
    }
    let end = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let fake = Fake::start(script.then(Step::Send(format!("{end}\n\ndata: [DONE]\n\n").into()))).await;
    let proxy = before("idle_timeout_seconds: 2", fake.base_url()).await;

    let (text, end) = proxy.stream(ask("hello")).await;

    assert_eq!(text, "aaaaaaaa");
    end.expect("its end");
}

#[tokio::test]
async fn e07_an_answer_that_pours_for_ever_ends_after_the_total_timeout() {
    // There is always a next piece, so nothing else is ever waited for.
    let flood: bytes::Bytes = format!("data: {}\n\n", delta("a")).repeat(1000).into();
    let pour = |script: Script| (0..5000).fold(script, |script, _| script.then(Step::Send(flood.clone())));
    let fake = Fake::start(pour(Script::body("text/event-stream", "")).then(Step::Hang)).await;
    let proxy = before("total_timeout_seconds: 1", fake.base_url()).await;

    let told = why(&proxy).await;

    let (poured, told) = told.split_once('|').expect("both");
    assert_eq!(told, "provider p0: the provider took longer than it may (total_timeout_seconds)");
    assert!(poured.len() < 5_000_000, "it was cut on its way");
}

#[tokio::test]
async fn e07_an_answer_that_drips_for_ever_ends_after_the_total_timeout() {
    let drip =
        |script: Script| script.then(Step::Wait(Duration::from_millis(300))).then(Step::Send("\n".into()));
    let dripping = |script: Script| (0..100).fold(script, |script, _| drip(script));
    let stream = Fake::start(dripping(Script::events(&[&delta("begun")]))).await;
    let whole = Fake::start(dripping(Script::body("application/json", "{"))).await;
    let told = "provider p0: the provider took longer than it may (total_timeout_seconds)";

    let proxy = before("total_timeout_seconds: 1, idle_timeout_seconds: 1", stream.base_url()).await;
    assert_eq!(why(&proxy).await, format!("begun|{told}"));
    let proxy = before("total_timeout_seconds: 1, idle_timeout_seconds: 1", whole.base_url()).await;
    assert_eq!(proxy.execute(ask("hello")).await.expect_err("never whole").1, told);
}

#[tokio::test]
async fn e07_a_provider_that_takes_too_long_is_left_for_the_next_one() {
    let slow = Fake::start(Script { wait: Duration::from_secs(60), ..Script::answer("late") }).await;
    let good = Fake::start(Script::answer("in time")).await;
    let proxy = Proxy::before_with("total_timeout_seconds: 1", &[slow.base_url(), good.base_url()]).await;

    assert_eq!(proxy.execute(ask("hello")).await.as_deref(), Ok("in time"));
    assert_eq!(slow.requests().len(), 1, "it would take as long again");
}

#[tokio::test]
async fn e07_the_deadline_of_the_call_wins_when_it_is_shorter_retries_included() {
    let slow = Fake::start(Script { wait: Duration::from_secs(60), ..Script::answer("late") }).await;
    let down = Fake::start(Script::body("text/plain", "").with_status(503)).await;
    let config = |settings: &str, fake: &Fake| {
        format!(
            "server: {{default_model: small, limits: {{global: {{request_timeout_seconds: 1}}}}}}\n\
             providers: [{{name: p, {settings}, openai: {{base_url: '{}'}}}}]\n\
             models: [{{name: small, routes: [{{provider: p, model: m}}]}}]",
            fake.base_url()
        )
    };
    let start = Instant::now();

    let proxy = Proxy::start(&config("total_timeout_seconds: 60", &slow)).await;
    let late = proxy.grpc().await.execute(ask("hello")).await.expect_err("late");
    assert_eq!(late.code(), Code::DeadlineExceeded);
    let proxy = Proxy::start(&config("retries: {attempts: 5, base_ms: 60000, cap_ms: 60000}", &down)).await;
    proxy.execute(ask("hello")).await.expect_err("down");

    assert!(start.elapsed() < Duration::from_secs(30), "neither waits for the provider's own times");
}
