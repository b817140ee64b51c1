//! Waits for the first bytes of a connection, at most [`PREFACE_TIME`].
//!
//! hyper bounds the head of an HTTP/1 request in time, but waits for ever for an HTTP/2 preface and for the SETTINGS
//! after it (hyper issue 4170). So they are awaited here, and handed on together with the connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use crate::listener::PREFACE_TIME;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD: usize = 9;
const WANTED: usize = PREFACE.len() + FRAME_HEAD;

/// Returns the connection once it has shown which protocol it speaks, with those bytes still to be read.
pub async fn await_first_bytes<IO>(mut io: IO) -> io::Result<Rewound<IO>>
where
    IO: AsyncRead + Unpin,
{
    let mut first = [0; WANTED];
    let reading = timeout(PREFACE_TIME, read(&mut io, &mut first)).await;
    let length = reading.map_err(|_| io::ErrorKind::TimedOut)??;
    Ok(Rewound { first, next: 0, length, io })
}

/// Reads until the bytes are surely not HTTP/2, or are its preface with a frame head behind it. A first line that is neither's
/// is an error: an answer in one of the two protocols would be noise to whoever sent it.
async fn read(io: &mut (impl AsyncRead + Unpin), first: &mut [u8; WANTED]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(free @ [_, ..]) = first.get_mut(length..) {
        let read = io.read(free).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        length += read;
        let known = first.get(..length).unwrap_or_default();
        if !known.iter().zip(PREFACE).all(|(byte, expected)| byte == expected) {
            return if is_of_neither(known) { Err(io::ErrorKind::InvalidData.into()) } else { Ok(length) };
        }
    }
    Ok(length)
}

/// True when a whole line is there that does not end as one of HTTP/1 does. Without a whole line nothing can be said yet, and
/// an empty one may precede a request of HTTP/1 (RFC 9112, section 2.2).
fn is_of_neither(known: &[u8]) -> bool {
    let line = known.windows(2).position(|pair| pair == b"\r\n").and_then(|end| known.get(..end));
    let ends_as_http1 = |line: &[u8]| line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0");
    line.is_some_and(|line| !line.is_empty() && !ends_as_http1(line))
}

/// A connection of which the first bytes were read already and are read again.
#[derive(Debug)]
pub struct Rewound<IO> {
    first: [u8; WANTED],
    next: usize,
    length: usize,
    io: IO,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Rewound<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match this.first.get(this.next..this.length) {
            Some(rest @ [_, ..]) => {
                let count = rest.len().min(buffer.remaining());
                buffer.put_slice(rest.get(..count).unwrap_or_default());
                this.next += count;
                Poll::Ready(Ok(()))
            }
            _ => Pin::new(&mut this.io).poll_read(context, buffer),
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Rewound<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn an_http1_request_is_handed_on_whole_as_soon_as_it_differs() {
        let (mut client, server) = tokio::io::duplex(1024);
        client.write_all(b"POST /").await.expect("buffered");
        let mut rewound = await_first_bytes(server).await.expect("not HTTP/2");
        client.write_all(b"v1 HTTP/1.1").await.expect("buffered");
        drop(client);

        let mut all = Vec::new();
        rewound.read_to_end(&mut all).await.expect("readable");

        assert_eq!(all, b"POST /v1 HTTP/1.1");
    }

    #[tokio::test]
    async fn an_http2_preface_that_comes_byte_by_byte_is_handed_on_whole() {
        let (mut client, server) = tokio::io::duplex(1024);
        let sent = [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0], b"more"].concat();
        let bytes = sent.clone();
        let writer = tokio::spawn(async move {
            for byte in bytes {
                client.write_all(&[byte]).await.expect("buffered");
            }
        });

        let mut all = Vec::new();
        await_first_bytes(server).await.expect("HTTP/2").read_to_end(&mut all).await.expect("readable");

        writer.await.expect("written");
        assert_eq!(all, sent);
    }

    #[tokio::test]
    async fn a_first_line_of_neither_protocol_is_an_error_at_once() {
        for (line, is_of_one) in [
            (&b"INVALID CONNECTION PREFACE\r\n\r\n"[..], false),
            (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", false),
            (b"\r\nGET / HTTP/1.1\r\n", true),
            (b"GET / HTTP/1.1\r\n", true),
            (b"GET / HTTP/1.0\r\n", true),
            (b"GET /a-path-that-is-longer-than-what-is-awaited", true),
        ] {
            let (mut client, server) = tokio::io::duplex(1024);
            client.write_all(line).await.expect("buffered");

            let outcome = await_first_bytes(server).await;

            assert_eq!(outcome.is_ok(), is_of_one, "{}", line.escape_ascii());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_preface_is_given_up() {
        let (mut client, server) = tokio::io::duplex(1024);
        client.write_all(b"PRI * HTTP").await.expect("buffered");

        let outcome = await_first_bytes(server).await;

        assert_eq!(outcome.expect_err("never complete").kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_preface_without_settings_is_given_up() {
        let (mut client, server) = tokio::io::duplex(1024);
        client.write_all(PREFACE).await.expect("buffered");

        assert!(await_first_bytes(server).await.is_err());
    }
}
