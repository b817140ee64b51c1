//! HTTP/2 as an attacker speaks it: each known attack ends the connection or costs a bounded amount, and nobody else notices.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::support::Server;
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, Frame, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, handshake, read, read_until, send,
};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const EXECUTE: &str = "/vibectl.llm_proxy.VibectlLLMProxy/Execute";
const MAX_CONCURRENT_STREAMS: u16 = 3;

const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// What came back until the server closed the connection.
#[derive(Debug, Default)]
struct Ending {
    resets: usize,
    goaway: Option<u32>,
}

/// Sends these bytes, piece by piece, while everything that comes back is read.
fn attack(server: &Server, pieces: impl Iterator<Item = Vec<u8>> + Send + 'static) -> Ending {
    let mut stream = server.connect();
    handshake(&mut stream);
    let mut writer = stream.try_clone().expect("a second handle");
    let attacker = thread::spawn(move || {
        for piece in pieces {
            if writer.write_all(&piece).is_err() {
                return;
            }
        }
    });
    let mut ending = Ending::default();
    while let Ok(frame) = read(&mut stream) {
        match frame.kind {
            RST_STREAM => ending.resets += 1,
            GOAWAY => ending.goaway = Some(frame.error_code()),
            _ => {}
        }
    }
    attacker.join().expect("the attacker gives up");
    assert_eq!(server.get("/still-here").0, 404, "others are served");
    assert_eq!(server.metric("vibectl_panics_total"), 0);
    ending
}

/// For each of so many streams a request and what follows it.
fn on_each_stream(
    streams: u32,
    ended: bool,
    then: impl Fn(u32) -> Frame + Send + 'static,
) -> impl Iterator<Item = Vec<u8>> + Send {
    (0..streams).map(move |number| {
        let id = 2 * number + 1;
        [Frame::request(id, CHECK, ended).bytes(), then(id).bytes()].concat()
    })
}

#[test]
fn c01_the_101st_stream_of_a_connection_is_refused_and_the_first_100_are_not() {
    let server = Server::insecure("");
    let mut stream = server.connect();

    let settings = handshake(&mut stream);
    assert!(settings.contains(&(MAX_CONCURRENT_STREAMS, 100)), "{settings:?}");
    // Requests whose messages never come: each waits.
    for number in 0..=100_u32 {
        send(&mut stream, &Frame::request(2 * number + 1, CHECK, false)).expect("sent");
    }
    let reset = read_until(&mut stream, |frame| frame.kind == RST_STREAM);
    assert_eq!((reset.stream, reset.error_code()), (201, REFUSED_STREAM));

    // An empty message: the health of the whole server. END_STREAM is flag 1.
    for number in 0..100_u32 {
        send(&mut stream, &Frame::new(DATA, 1, 2 * number + 1, &[0; 5])).expect("sent");
    }
    let mut answered = 0;
    while answered < 100 {
        let frame = read(&mut stream).expect("an answer");
        assert_ne!(frame.kind, RST_STREAM, "stream {}", frame.stream);
        answered += usize::from(frame.kind == DATA);
    }
}

#[test]
fn c02_streams_that_are_opened_and_reset_at_once_end_the_connection() {
    let server = Server::insecure("");

    let ending = attack(
        &server,
        on_each_stream(5_000, false, |id| Frame::new(RST_STREAM, 0, id, &8_u32.to_be_bytes())),
    );

    assert_eq!(ending.goaway, Some(ENHANCE_YOUR_CALM));
}

#[test]
fn c03_streams_that_make_the_server_reset_them_end_the_connection() {
    let server = Server::insecure("");
    let overflow = 0x7fff_ffff_u32.to_be_bytes();

    // MadeYouReset: a window that overflows is a stream error, so the server resets, and we never do.
    let overflows =
        attack(&server, on_each_stream(6_000, false, move |id| Frame::new(WINDOW_UPDATE, 0, id, &overflow)));
    let nothing =
        attack(&server, on_each_stream(6_000, false, |id| Frame::new(WINDOW_UPDATE, 0, id, &[0; 4])));
    let after_the_end = attack(&server, on_each_stream(6_000, true, |id| Frame::new(DATA, 0, id, b"more")));
    let short_priority =
        attack(&server, on_each_stream(6_000, false, |id| Frame::new(PRIORITY, 0, id, &[0; 4])));

    // Only the first is a matter of one stream for us; the others end the connection at once.
    for (what, ending, code) in [
        ("overflow", overflows, ENHANCE_YOUR_CALM),
        ("nothing", nothing, PROTOCOL_ERROR),
        ("after the end", after_the_end, PROTOCOL_ERROR),
        ("a short priority", short_priority, PROTOCOL_ERROR),
    ] {
        assert_eq!(ending.goaway, Some(code), "{what}: {ending:?}");
        assert!(ending.resets <= 1_100, "{what}: {ending:?}");
    }
}

#[test]
fn c04_a_head_that_does_not_end_ends_the_connection_and_is_no_request() {
    let server = Server::insecure("");
    let open = Frame::new(HEADERS, 0, 1, &Frame::request(1, "/flood", false).payload).bytes();
    // A header field that is good by itself, many times.
    let field = [&[0_u8, 3][..], b"x-a", &[100], &[b'v'; 100]].concat();

    for payload in [field.repeat(80), field, Vec::new()] {
        let more = Frame::new(CONTINUATION, 0, 1, &payload).bytes();
        let ending = attack(&server, std::iter::once(open.clone()).chain(std::iter::repeat_n(more, 20_000)));
        assert_eq!(ending.goaway, Some(ENHANCE_YOUR_CALM), "{} bytes each", payload.len());
    }

    // Each attack is followed by one honest request, and those are all that there were.
    server.wait_for("three", |server| {
        server.metric("vibectl_requests_total{method=\"other\",code=\"404\"}") == 3
    });
    let requests = |server: &Server| server.log().matches("\"message\":\"request\"").count();
    server.wait_for("their lines", |server| requests(server) >= 3);
    assert_eq!(requests(&server), 3);
}

/// Writes until it is done, or the peer takes no more for a while.
fn push(stream: &mut TcpStream, frame: &Frame, times: usize) {
    stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    let batch = frame.bytes().repeat(1_000);
    for _ in 0..times / 1_000 {
        if stream.write_all(&batch).is_err() {
            return;
        }
    }
}

#[test]
fn c05_floods_of_which_the_replies_are_not_read_are_not_buffered() {
    let server = Server::insecure("");
    server.get("/warm-up");
    let before = server.resident_kib();

    let mut peers = Vec::new();
    for frame in [
        Frame::new(PING, 0, 0, &[7; 8]),
        Frame::new(SETTINGS, 0, 0, &[]),
        Frame::new(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
        Frame::new(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]),
    ] {
        let mut stream = server.connect();
        handshake(&mut stream);
        push(&mut stream, &frame, 500_000);
        peers.push(stream);
    }

    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 10 * 1024, "{grown} KiB");
    assert_eq!(server.get("/still-here").0, 404);
}

#[test]
fn c06_a_flood_of_empty_data_ends_the_connection() {
    let server = Server::insecure("");
    let open = Frame::request(1, EXECUTE, false).bytes();
    let empty = Frame::new(DATA, 0, 1, &[]).bytes().repeat(100);

    let ending = attack(&server, std::iter::once(open).chain(std::iter::repeat_n(empty, 2_000)));

    assert_eq!(ending.goaway, Some(ENHANCE_YOUR_CALM));
}

#[test]
fn c06_a_message_in_single_bytes_costs_no_more_than_its_size() {
    let server = Server::insecure("");
    server.get("/warm-up");
    let before = server.resident_kib();
    let mut stream = server.connect();
    handshake(&mut stream);

    // A message of 1 MiB, of which 200,000 bytes come.
    send(&mut stream, &Frame::request(1, EXECUTE, false)).expect("sent");
    send(&mut stream, &Frame::new(DATA, 0, 1, &[0, 0, 0x10, 0, 0])).expect("sent");
    push(&mut stream, &Frame::new(DATA, 0, 1, &[0]), 200_000);

    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 10 * 1024, "{grown} KiB");
    assert_eq!(server.get("/still-here").0, 404);
}

#[test]
fn c07_a_head_that_is_small_on_the_wire_and_large_in_memory_ends_the_connection() {
    let server = Server::insecure("");
    let before = server.resident_kib();
    let head = |block: &[u8]| std::iter::once(Frame::new(HEADERS, END_HEADERS, 1, block).bytes());
    // A field of 3900 bytes goes into the table (lengths above 126 take more bytes), and is then named 12,000 times.
    let value = [&[0x40, 1, b'x', 0x7f, 0xbd, 0x1d][..], &[b'v'; 3900]].concat();
    let amplified = [value, vec![0xbe; 12_000]].concat();
    let of_index_2_to_31 = [0xff, 0x81, 0xff, 0xff, 0xff, 0x07];

    let amplification = attack(&server, head(&amplified));
    let index = attack(&server, head(&of_index_2_to_31));

    assert_eq!(amplification.goaway, Some(ENHANCE_YOUR_CALM));
    // RFC 9113, 4.3, would have it COMPRESSION_ERROR; our library says this.
    assert_eq!(index.goaway, Some(PROTOCOL_ERROR));
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 10 * 1024, "{grown} KiB");
}

#[test]
fn c07_a_head_of_nothing_but_table_sizes_is_no_request() {
    let server = Server::insecure("");
    let mut stream = server.connect();
    handshake(&mut stream);

    send(&mut stream, &Frame::new(HEADERS, END_HEADERS, 1, &[0x20; 16_000])).expect("sent");

    let end = read_until(&mut stream, |frame| matches!(frame.kind, RST_STREAM | GOAWAY));
    assert_ne!(end.error_code(), 0);
    assert_eq!(server.get("/still-here").0, 404);
}
