//! A provider that failed in passing is asked again: before the first byte only, rarely, and not before it wants to be.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::{
    fake_provider::{Fake, Script, Step, delta},
    proxy::{Proxy, ask},
};

/// A failure with this status.
fn failure(status: u16) -> Script {
    Script::body("text/plain", "").with_status(status)
}

fn limited(retry_after: Option<&'static str>) -> Script {
    let mut script = failure(429);
    script.headers.extend(retry_after.map(|value| ("retry-after", value)));
    script
}

/// Retries without a pause that a test would notice.
const AT_ONCE: &str = "retries: {attempts: 3, base_ms: 1, cap_ms: 10}";

#[tokio::test]
async fn e06_a_failure_that_passes_is_not_seen_by_the_caller_and_counts_once_for_its_limits() {
    for status in [500, 502, 503] {
        let fake = Fake::in_turn(vec![failure(status), failure(status), Script::answer("hi")]).await;
        let proxy = Proxy::before_with(AT_ONCE, &[fake.base_url()]).await;

        let response = proxy.grpc().await.execute(ask("hello")).await.expect("accepted").into_inner();

        let Some(vibectl_proto::llm_proxy::execute_response::Result::Success(success)) = response.result
        else {
            panic!("a success after {status}")
        };
        assert_eq!((success.response_text.as_str(), fake.requests().len()), ("hi", 3));
        assert_eq!(success.metrics.expect("there").retry_count, 2);
        let totals = &proxy.shared.usage.totals()[0];
        assert_eq!((totals.requests, totals.input_tokens, totals.output_tokens), (1, 11, 7));
        let metrics = proxy.shared.metrics.render();
        let made = r#"vibectl_provider_retries_total{provider="p0",outcome="made"} 2"#;
        assert!(metrics.contains(made), "{metrics}");
    }
}

#[tokio::test]
async fn e06_a_provider_that_never_recovers_is_asked_as_often_as_the_config_says_and_no_more() {
    let (first, second) = (Fake::start(failure(500)).await, Fake::start(failure(503)).await);
    let proxy = Proxy::before_with(AT_ONCE, &[first.base_url(), second.base_url()]).await;

    proxy.execute(ask("hello")).await.expect_err("both fail");

    assert_eq!((first.requests().len(), second.requests().len()), (4, 4));
}

#[tokio::test]
async fn e06_a_stream_is_begun_again_until_its_first_word_and_never_after() {
    let reset =
        Script::events(&[&delta("begun")]).then(Step::Wait(Duration::from_millis(50))).then(Step::Cut);
    let fake = Fake::in_turn(vec![failure(503), reset, Script::stream(&["never"])]).await;
    let proxy = Proxy::before_with(AT_ONCE, &[fake.base_url()]).await;

    let (text, end) = proxy.stream(ask("hello")).await;

    assert_eq!(text, "begun");
    assert_eq!(end.expect_err("broken").1, "provider p0: the connection to the provider broke");
    assert_eq!(fake.requests().len(), 2);
}

#[tokio::test]
async fn e06_connections_that_are_reset_before_or_within_the_head_are_bounded_too() {
    for head in ["", "HTTP/1.1 200 OK\r\ncontent-le"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                count.fetch_add(1, Relaxed);
                let _ = tcp.write_all(head.as_bytes()).await;
            }
        });
        let proxy = Proxy::before_with(AT_ONCE, &[format!("http://{address}/v1")]).await;

        let (code, _) = proxy.execute(ask("hello")).await.expect_err("reset");

        assert_eq!(code, "EXECUTION_FAILED");
        let connections = accepted.load(Relaxed);
        assert!((1..=4).contains(&connections), "{connections} after {head:?}");
    }
}

#[tokio::test]
async fn what_would_fail_again_is_not_tried_again() {
    for status in [400, 401, 403, 404, 504] {
        let fake = Fake::start(failure(status)).await;

        Proxy::before_with(AT_ONCE, &[fake.base_url()]).await.execute(ask("hello")).await.expect_err("fails");

        assert_eq!(fake.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn e05_a_wait_that_is_too_long_is_told_at_once_and_nobody_asks_meanwhile() {
    for (told, seconds) in [(Some("3600"), "3600"), (Some("31 Dec 2999 23:59:59 GMT"), "3600")] {
        let fake = Fake::start(limited(told)).await;
        let proxy = Proxy::before_with(AT_ONCE, &[fake.base_url()]).await;
        let chat = || proxy.chat(r#"{"messages":[{"role":"user","content":"hello"}]}"#);

        let first = chat().await;
        assert_eq!(
            (first.status().as_u16(), &first.headers()["retry-after"]),
            (429, &seconds.parse().expect("ASCII"))
        );
        for _ in 0..20 {
            let next = chat().await;
            let wait: u64 = next.headers()["retry-after"].to_str().expect("ASCII").parse().expect("seconds");
            assert!(next.status() == 429 && (1..=60).contains(&wait), "{wait}");
        }

        assert_eq!(fake.requests().len(), 1, "{told:?}");
    }
}

#[tokio::test]
async fn e05_a_wait_that_is_nonsense_or_absent_is_a_back_off_of_our_own() {
    for told in [None, Some("-5"), Some("soon")] {
        let fake = Fake::in_turn(vec![limited(told), Script::answer("hi")]).await;
        let proxy = Proxy::before_with(AT_ONCE, &[fake.base_url()]).await;

        assert_eq!(proxy.execute(ask("hello")).await.as_deref(), Ok("hi"), "{told:?}");
    }
}

#[tokio::test]
async fn e05_a_short_wait_is_waited_for_and_another_provider_is_not() {
    let waits = "retries: {attempts: 1, base_ms: 1, cap_ms: 5000}";
    let alone = Fake::in_turn(vec![limited(Some("1")), Script::answer("after a second")]).await;
    let proxy = Proxy::before_with(waits, &[alone.base_url()]).await;
    let start = Instant::now();
    assert_eq!(proxy.execute(ask("hello")).await.as_deref(), Ok("after a second"));
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());

    let (first, second) =
        (Fake::start(limited(Some("4"))).await, Fake::start(Script::answer("elsewhere")).await);
    let proxy = Proxy::before_with(waits, &[first.base_url(), second.base_url()]).await;
    for _ in 0..3 {
        assert_eq!(proxy.execute(ask("hello")).await.as_deref(), Ok("elsewhere"));
    }
    assert_eq!(first.requests().len(), 1, "it is left alone for as long as it asked");
}

#[tokio::test]
async fn e05_a_wait_beyond_the_callers_deadline_is_not_begun() {
    let fake = Fake::start(limited(Some("4"))).await;
    let proxy =
        Proxy::before_with("retries: {attempts: 1, base_ms: 1, cap_ms: 5000}", &[fake.base_url()]).await;
    let mut request = tonic::Request::new(ask("hello"));
    request.set_timeout(Duration::from_secs(3));

    let answer = proxy.grpc().await.execute(request).await.expect("an answer before the deadline");

    assert!(answer.into_inner().result.is_some());
    let metrics = proxy.shared.metrics.render();
    let late = r#"vibectl_provider_retries_total{provider="p0",outcome="too_late"} 1"#;
    assert!(metrics.contains(late), "{metrics}");
}

#[tokio::test]
async fn e05_a_hundred_calls_into_a_rate_limit_are_retried_thirty_times_at_most() {
    let fake = Fake::start(limited(None)).await;
    let retries = "retries: {attempts: 5, base_ms: 1, cap_ms: 1}";
    let proxy = Proxy::before_with(retries, &[fake.base_url()]).await;

    join_all((0..100).map(|_| async { proxy.execute(ask("hello")).await.expect_err("limited") })).await;

    let requests = fake.requests().len();
    // A fifth of the calls and ten; time pays a little too, so the bound has a reserve for slow machines.
    assert!((101..=100 + 20 + 10 + 6).contains(&requests), "{requests}");
    let metrics = proxy.shared.metrics.render();
    assert!(
        metrics.contains(r#"vibectl_provider_retries_total{provider="p0",outcome="over_budget"}"#),
        "{metrics}"
    );
}
