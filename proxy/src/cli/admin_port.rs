//! Asks the admin port of a server on this machine or another: plain HTTP, no credentials.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(2);
/// More than all metrics together.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its HTTP status.
    pub(super) status: u16,
    /// Its body.
    pub(super) body: String,
}

/// What the port answers to `GET path`.
pub(super) fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // HTTP/1.0: the body ends with the connection and comes in one piece.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "that is no admin port"))
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let line = head.lines().next().filter(|line| line.starts_with("HTTP/"))?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_a_body_and_anything_else_is_none() {
        let answer = parse("HTTP/1.0 503 Service Unavailable\r\na: b\r\n\r\ndraining\n").expect("an answer");

        assert_eq!((answer.status, answer.body.as_str()), (503, "draining\n"));
        for text in ["", "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.0 ok\r\n\r\n", "HTTP/1.0 200 OK\r\n"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
