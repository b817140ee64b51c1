//! Calls as a client sees them while limits, restarts and size matter.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use vibectl_proto::llm_proxy::execute_response::Result as Answer;
use vibectl_proto::llm_proxy::vibectl_llm_proxy_client::VibectlLlmProxyClient as Client;
use vibectl_proto::llm_proxy::{ExecuteRequest, GetServerInfoRequest};

use crate::support::{PATIENCE, Server};

async fn client(server: &Server) -> Client<Channel> {
    let address = format!("http://127.0.0.1:{}", server.port);
    let endpoint = Endpoint::from_shared(address).expect("an address").timeout(PATIENCE);
    Client::new(endpoint.connect().await.expect("a connection")).max_encoding_message_size(usize::MAX)
}

fn ask(text: &str) -> ExecuteRequest {
    ExecuteRequest { user_fragments: vec![text.to_owned()], ..ExecuteRequest::default() }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    Runtime::new().expect("a runtime").block_on(test)
}

fn trailer<'a>(status: &'a Status, name: &str) -> &'a str {
    status.metadata().get(name).expect("the trailer").to_str().expect("text")
}

#[test]
fn a_call_over_the_rate_is_refused_with_a_true_time_and_asking_about_the_server_is_free() {
    let server = Server::insecure("server: {limits: {global: {max_requests_per_minute: 2}}}");

    run(async {
        let mut client = client(&server).await;
        for _ in 0..10 {
            client.get_server_info(GetServerInfoRequest {}).await.expect("free");
        }
        client.execute(ask("one")).await.expect("the first");
        let mut stream = client.stream_execute(ask("two")).await.expect("streams count").into_inner();
        while stream.message().await.expect("a chunk").is_some() {}
        let status = client.execute(ask("three")).await.expect_err("the third");

        assert_eq!((status.code(), trailer(&status, "limit-type")), (Code::ResourceExhausted, "rpm"));
        let wait: u64 = trailer(&status, "retry-after-ms").parse().expect("a number");
        assert!((50_000..=60_100).contains(&wait), "{wait}");
    });
    assert_eq!(server.metric("vibectl_rate_limited_total{limit_type=\"rpm\"}"), 1);
}

#[test]
fn a_place_is_free_again_as_soon_as_a_stream_is_dropped() {
    let config = "server: {default_model: echo, limits: {global: {max_concurrent_requests: 1}}}\n\
                  providers: [{name: slow, echo: {chunk_delay_ms: 200, chunk_size: 1}}]\n\
                  models: [{name: echo, routes: [{provider: slow, model: echo}]}]\n";
    let server = Server::insecure(config);

    run(async {
        let mut client = client(&server).await;
        let mut stream = client.stream_execute(ask("a long answer")).await.expect("accepted").into_inner();
        stream.message().await.expect("a chunk").expect("the first");
        let status = client.execute(ask("another")).await.expect_err("one at a time");
        assert_eq!((status.code(), trailer(&status, "limit-type")), (Code::ResourceExhausted, "concurrency"));
        assert_eq!(server.metric("vibectl_concurrent_in_flight"), 1);

        drop(stream);
        let start = Instant::now();
        while server.metric("vibectl_concurrent_in_flight") > 0 {
            assert!(start.elapsed() < Duration::from_secs(20), "the place is still taken");
        }
    });
}

#[test]
fn a_message_above_the_cap_is_resource_exhausted_and_413() {
    let server = Server::insecure("server: {max_message_bytes: 2000}");

    let status = run(async {
        let mut client = client(&server).await;
        client.execute(ask(&"x".repeat(500))).await.expect("below the cap");
        client.execute(ask(&"x".repeat(5_000_000))).await.expect_err("above the cap")
    });

    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let mut stream = server.connect();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                Content-Length: 5000\r\nConnection: close\r\n\r\n";
    std::io::Write::write_all(&mut stream, head.as_bytes()).expect("sent");
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[test]
fn a_call_ends_at_the_clients_deadline() {
    let config = "server: {default_model: echo}\n\
                  providers: [{name: slow, echo: {delay_ms: 10000}}]\n\
                  models: [{name: echo, routes: [{provider: slow, model: echo}]}]\n";
    let server = Server::insecure(config);

    run(async {
        let mut client = client(&server).await;
        let mut request = Request::new(ask("slow"));
        request.set_timeout(Duration::from_millis(300));
        let start = Instant::now();
        let status = client.execute(request).await.expect_err("too late");

        assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
        assert!(start.elapsed() < Duration::from_secs(8));
    });
    server.wait_for("the call to end here, too", |server| server.metric("vibectl_concurrent_in_flight") == 0);
}

#[test]
fn a_running_call_finishes_while_the_server_drains() {
    let config = "server: {default_model: echo, shutdown_grace_seconds: 10}\n\
                  providers: [{name: slow, echo: {delay_ms: 1000}}]\n\
                  models: [{name: echo, routes: [{provider: slow, model: echo}]}]\n";
    let mut server = Server::insecure(config);

    let answer = run(async {
        let mut client = client(&server).await;
        let call = tokio::spawn(async move { client.execute(ask("finish me")).await });
        server.wait_for("the call", |server| server.metric("vibectl_concurrent_in_flight") == 1);
        server.terminate();
        call.await.expect("no panic").expect("an answer").into_inner().result
    });

    assert!(matches!(answer, Some(Answer::Success(success)) if success.response_text.contains("finish me")));
    let (status, took) = server.wait(Duration::from_secs(10));
    assert!(status.success() && took < Duration::from_secs(9), "{took:?}");
}

#[test]
fn a_stream_that_outlasts_the_grace_period_is_cut() {
    let config = "server: {default_model: echo, shutdown_grace_seconds: 1}\n\
                  providers: [{name: slow, echo: {chunk_delay_ms: 500, chunk_size: 1}}]\n\
                  models: [{name: echo, routes: [{provider: slow, model: echo}]}]\n";
    let mut server = Server::insecure(config);

    run(async {
        let mut client = client(&server).await;
        let mut stream = client.stream_execute(ask("forty characters of a very long answer")).await;
        let stream = stream.as_mut().expect("accepted").get_mut();
        stream.message().await.expect("a chunk").expect("the first");
        server.terminate();
        while let Ok(Some(_)) = stream.message().await {}
    });

    let (status, took) = server.wait(Duration::from_secs(2));
    assert!(status.success(), "{took:?}");
    server.logs("cut what still ran");
}

#[test]
fn limits_changed_in_the_file_hold_for_the_next_call() {
    let server = Server::insecure("");

    run(async {
        let mut client = client(&server).await;
        client.execute(ask("before")).await.expect("no limit");
        let config = "server: {limits: {total: {max_input_length: 3}}}";
        std::fs::write(server.config_file(), config).expect("written");
        let applied = "vibectl_reloads_total{part=\"config\",outcome=\"applied\"}";
        server.wait_for("the change", |server| server.metric(applied) == 1);

        client.execute(ask("yes")).await.expect("three characters");
        let status = client.execute(ask("four")).await.expect_err("too long");
        assert_eq!((status.code(), trailer(&status, "limit-type")), (Code::ResourceExhausted, "input"));
    });
}

#[test]
fn a_health_watch_is_told_of_the_drain_and_does_not_hold_it_up() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;

    let mut server = Server::insecure("server: {shutdown_grace_seconds: 20}");

    let statuses = run(async {
        let endpoint =
            Endpoint::from_shared(format!("http://127.0.0.1:{}", server.port)).expect("an address");
        let mut health = HealthClient::new(endpoint.connect().await.expect("a connection"));
        let request = HealthCheckRequest { service: String::new() };
        let mut watch = health.watch(request).await.expect("a watch").into_inner();
        let mut statuses = vec![watch.message().await.expect("a status").expect("the first").status()];
        server.terminate();
        while let Ok(Some(next)) = watch.message().await {
            statuses.push(next.status());
        }
        statuses
    });

    assert_eq!(statuses, [ServingStatus::Serving, ServingStatus::NotServing]);
    assert!(server.wait(Duration::from_secs(3)).0.success());
}
