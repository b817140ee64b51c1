//! What kubelet, Prometheus and gRPC load balancers ask.

use crate::support::{Server, run};

#[test]
fn metrics_of_the_original_are_announced_before_the_first_request_on_both_paths() {
    let server = Server::insecure("");

    for path in ["/", "/metrics"] {
        let (status, text) = server.admin_get(path).expect("an answer");
        assert_eq!(status, 200);
        for line in [
            "# TYPE vibectl_requests_total counter",
            "# TYPE vibectl_rate_limited_total counter",
            "# TYPE vibectl_concurrent_in_flight gauge",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}");
        }
    }
}

#[test]
fn requests_are_counted_under_bounded_labels() {
    let server = Server::insecure("");

    for number in 0..5 {
        assert_eq!(server.get(&format!("/no/such/path/{number}")).0, 404);
    }

    assert_eq!(server.metric("vibectl_requests_total{method=\"other\",code=\"404\"}"), 5);
}

#[test]
fn the_health_command_tells_alive_from_ready() {
    let mut server = Server::insecure("");
    let address = format!("127.0.0.1:{}", server.admin);
    let ask = |more: &[&str]| {
        let folder = tempfile::tempdir().expect("a folder");
        run(folder.path(), &[&["health", "--address", &address], more].concat()).code
    };

    assert_eq!((ask(&[]), ask(&["--ready"])), (Some(0), Some(0)));
    server.terminate();
    server.wait(crate::support::PATIENCE);

    assert_eq!(ask(&[]), Some(1));
}

#[test]
fn every_request_leaves_one_line_with_its_id_and_never_a_credential() {
    let server = Server::insecure("");

    let mut stream = server.connect();
    let head = "GET /x HTTP/1.1\r\nHost: a\r\nx-request-id: mine-1\r\nAuthorization: Bearer s3cret\r\nConnection: close\r\n\r\n";
    std::io::Write::write_all(&mut stream, head.as_bytes()).expect("sent");
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).expect("an answer");
    server.wait_for("the log line", |server| server.log().contains("mine-1"));

    assert!(answer.contains("x-request-id: mine-1"), "{answer}");
    let log = server.log();
    assert_eq!(log.lines().filter(|line| line.contains("mine-1")).count(), 1, "{log}");
    assert!(log.contains("\"subject\":\"anonymous\"") && !log.contains("s3cret"), "{log}");
}
