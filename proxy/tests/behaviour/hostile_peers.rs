//! Peers that are silent, greedy or broken cost a bounded amount and nobody else. The figures are those that a default
//! gRPC server fails: see docs/security.md.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::Server;
use crate::support::frames::{
    Frame, GOAWAY, PREFACE, RST_STREAM, WINDOW_UPDATE, handshake, read, read_until, send,
};

const MAX_CONCURRENT_STREAMS: u16 = 3;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;
/// Time for the first bytes, and some for a busy machine.
const SILENCE: Duration = Duration::from_secs(10 + 5);

/// How long until the server closes the connection.
fn closed_after(mut stream: TcpStream) -> Duration {
    stream.set_read_timeout(Some(SILENCE)).expect("a timeout");
    let start = Instant::now();
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest);
    let took = start.elapsed();
    assert!(took < SILENCE, "still open: {end:?}");
    took
}

#[test]
fn peers_that_never_finish_their_first_bytes_are_cut() {
    let server = Server::insecure("");
    let beginnings: [&[u8]; 4] = [b"", b"PRI * HTTP/2.0\r\n", PREFACE, b"GET / HTTP/1.1\r\nHost: a\r\n"];

    let waiting: Vec<_> = beginnings
        .into_iter()
        .map(|bytes| {
            let mut stream = server.connect();
            stream.write_all(bytes).expect("sent");
            thread::spawn(move || closed_after(stream))
        })
        .collect();

    for peer in waiting {
        peer.join().expect("closed in time");
    }
}

#[test]
fn the_101st_stream_of_a_connection_is_refused_and_the_first_100_are_not() {
    let server = Server::insecure("");
    let mut stream = server.connect();

    let settings = handshake(&mut stream);
    assert!(settings.contains(&(MAX_CONCURRENT_STREAMS, 100)), "{settings:?}");
    // Requests whose bodies never come: each waits for its message.
    let path = "/grpc.health.v1.Health/Check";
    for number in 0..=100_u32 {
        send(&mut stream, &Frame::request(2 * number + 1, path, false)).expect("sent");
    }

    let reset = read_until(&mut stream, |frame| frame.kind == RST_STREAM);
    assert_eq!((reset.stream, reset.error_code()), (201, REFUSED_STREAM));
}

#[test]
fn streams_that_make_the_server_reset_them_end_the_connection() {
    let server = Server::insecure("");
    let mut stream = server.connect();
    handshake(&mut stream);

    // MadeYouReset: a window that overflows is a stream error, so the server resets, and we never do.
    let mut writer = stream.try_clone().expect("a second handle");
    let attack = thread::spawn(move || {
        for number in 0..6_000_u32 {
            let id = 2 * number + 1;
            let overflow = Frame::new(WINDOW_UPDATE, 0, id, &0x7fff_ffff_u32.to_be_bytes());
            let both = [Frame::request(id, "/grpc.health.v1.Health/Check", false).bytes(), overflow.bytes()];
            if writer.write_all(&both.concat()).is_err() {
                return;
            }
        }
    });
    let (mut resets, mut end) = (0, None);
    while let Ok(frame) = read(&mut stream) {
        match frame.kind {
            RST_STREAM => resets += 1,
            GOAWAY => end = Some(frame.error_code()),
            _ => {}
        }
    }
    attack.join().expect("the attacker gives up");

    assert_eq!(end, Some(ENHANCE_YOUR_CALM));
    assert!(resets <= 1_100, "{resets} resets");
    assert_eq!(server.get("/still-here").0, 404);
}

#[test]
fn streams_that_are_opened_and_reset_at_once_end_the_connection() {
    let server = Server::insecure("");
    let mut stream = server.connect();
    handshake(&mut stream);

    let mut writer = stream.try_clone().expect("a second handle");
    let attack = thread::spawn(move || {
        for number in 0..5_000_u32 {
            let id = 2 * number + 1;
            let cancel = Frame::new(RST_STREAM, 0, id, &8_u32.to_be_bytes());
            let both =
                [Frame::request(id, "/grpc.health.v1.Health/Check", false).bytes(), cancel.bytes()].concat();
            if writer.write_all(&both).is_err() {
                return;
            }
        }
    });
    let mut end = None;
    while let Ok(frame) = read(&mut stream) {
        if frame.kind == GOAWAY {
            end = Some(frame.error_code());
        }
    }
    attack.join().expect("the attacker gives up");

    assert_eq!(end, Some(ENHANCE_YOUR_CALM));
}
