//! Requests that are no requests: bad gRPC framing, bombs, paths that are not there. Each has one documented answer.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::runtime::Runtime;

use crate::support::{PATIENCE, Server};

const EXECUTE: &str = "/vibectl.llm_proxy.VibectlLLMProxy/Execute";

const OK: &str = "0";
const DEADLINE_EXCEEDED: &str = "4";
const RESOURCE_EXHAUSTED: &str = "8";
const UNIMPLEMENTED: &str = "12";
const INTERNAL: &str = "13";

/// Sends a request over HTTP/2; the status of HTTP, that of gRPC where the head has one, and the body.
fn post(
    server: &Server,
    path: &str,
    headers: &[(&str, &[u8])],
    body: Vec<u8>,
) -> (u16, Option<String>, String) {
    let url = format!("http://127.0.0.1:{}{path}", server.port);
    Runtime::new().expect("a runtime").block_on(async {
        let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().timeout(PATIENCE).build();
        let mut request = client.expect("a client").post(url).body(body);
        for (name, value) in headers {
            request =
                request.header(*name, reqwest::header::HeaderValue::from_bytes(value).expect("a value"));
        }
        let response = request.send().await.expect("an answer");
        let grpc =
            response.headers().get("grpc-status").and_then(|value| value.to_str().ok()).map(str::to_owned);
        (response.status().as_u16(), grpc, response.text().await.expect("a body"))
    })
}

/// The gRPC status of a call with this body. Success is in the trailers, which read as none in the head.
fn grpc(server: &Server, headers: &[(&str, &[u8])], body: &[u8]) -> String {
    let headers = [&[("content-type", &b"application/grpc"[..]), ("te", b"trailers")][..], headers].concat();
    let (status, grpc, _) = post(server, EXECUTE, &headers, body.to_vec());
    assert_eq!(status, 200);
    grpc.unwrap_or_else(|| OK.to_owned())
}

/// A message with this prefix: whether it is compressed, and how long it claims to be.
fn message(compressed: u8, length: u32, content: &[u8]) -> Vec<u8> {
    [&[compressed][..], &length.to_be_bytes(), content].concat()
}

/// A request with the user fragment `hi`: field 2, two bytes.
const HI: &[u8] = &[0x12, 2, b'h', b'i'];

#[test]
fn c12_bad_grpc_framing_has_a_status_and_never_a_panic() {
    let server = Server::insecure("");
    let good = message(0, 4, HI);

    for (what, headers, body, expected) in [
        ("a good one", &[][..], good.clone(), OK),
        ("compressed, and no encoding", &[], message(1, 4, HI), INTERNAL),
        ("an unknown encoding", &[("grpc-encoding", &b"lzma"[..])], message(1, 4, HI), UNIMPLEMENTED),
        ("a length of 4 GiB", &[], message(0, u32::MAX, HI), RESOURCE_EXHAUSTED),
        ("a message that stops short", &[], message(0, 100, HI), INTERNAL),
        ("a prefix that stops short", &[], vec![0, 0, 0], INTERNAL),
        ("no message", &[], Vec::new(), INTERNAL),
        ("no protobuf", &[], message(0, 4, &[0xff; 4]), INTERNAL),
        ("a flag that is none", &[], message(9, 4, HI), INTERNAL),
    ] {
        assert_eq!(grpc(&server, headers, &body), expected, "{what}");
    }
    for timeout in ["99999999H", "-1S", "", "1S1S", "999999999S"] {
        let headers = [("grpc-timeout", timeout.as_bytes())];
        assert_eq!(grpc(&server, &headers, &good), OK, "{timeout}: what is no timeout counts as none");
    }
    let in_time = grpc(&server, &[("grpc-timeout", b"1n")], &good);
    assert!([OK, DEADLINE_EXCEEDED].contains(&in_time.as_str()), "answered at once, or late: {in_time}");
    assert_eq!(
        grpc(&server, &[("x-tool", b"\xff\xfe")], &good),
        OK,
        "metadata that is no text is not ours to judge"
    );

    assert_eq!(server.metric("vibectl_panics_total"), 0);
}

/// Zeros that are a thousandth of their size on the wire.
fn bomb(mebibytes: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1024 * 1024];
    for _ in 0..mebibytes {
        encoder.write_all(&zeros).expect("memory");
    }
    encoder.finish().expect("memory")
}

#[test]
fn c13_nothing_that_a_caller_sends_is_decompressed() {
    let server = Server::insecure("");
    assert_eq!(grpc(&server, &[], &message(0, 4, HI)), OK);
    let before = server.resident_kib();
    let bomb = bomb(256);
    let length = u32::try_from(bomb.len()).expect("small");

    let in_grpc = grpc(&server, &[("grpc-encoding", b"gzip")], &message(1, length, &bomb));
    let headers = [("content-type", &b"application/json"[..]), ("content-encoding", b"gzip")];
    let (in_http, _, _) = post(&server, "/v1/chat/completions", &headers, bomb);

    assert_eq!((in_grpc.as_str(), in_http), (UNIMPLEMENTED, 400));
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 12 * 1024, "{grown} KiB");
}

#[test]
fn c17_what_is_not_there_is_told_in_few_words_that_repeat_nothing() {
    let server = Server::insecure("");

    for path in [
        "/",
        "/<script>alert(1)</script>",
        "/metrics",
        "/debug/pprof/",
        "/v1/../../etc/passwd",
        "/v1/models/%0d%0aX",
    ] {
        let (status, body) = server.get(path);
        assert!(matches!(status, 404 | 400), "{path}: {status}");
        assert!(body.len() < 300, "{path}: {body}");
        for part in ["script", "pprof", "passwd", "%0d"] {
            assert!(!body.contains(part), "{path}: {body}");
        }
    }
    let web = [("content-type", &b"application/grpc-web+proto"[..])];
    let (status, grpc, _) = post(&server, "/no.such.Service/Method", &web, Vec::new());
    assert_eq!((status, grpc), (404, None), "gRPC-Web is not spoken");
}

#[test]
fn c17_m08_the_port_for_metrics_has_nothing_else_in_either_protocol() {
    let server = Server::insecure("");

    for path in ["/debug/pprof/", "/v1/models", "/config", "/v1/chat/completions"] {
        assert_eq!(server.admin_get(path).expect("an answer").0, 404, "{path}");
    }
    let admin = std::net::TcpStream::connect(("127.0.0.1", server.admin)).expect("open");
    admin.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut admin = admin;
    // The same bounds hold for HTTP/2 there.
    let settings = crate::support::frames::handshake(&mut admin);
    assert!(settings.contains(&(3, 100)), "{settings:?}");
}
