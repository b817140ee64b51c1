//! HTTP/2 by hand, for peers that a client library would not let us be.

use std::io::{self, Read, Write};
use std::net::TcpStream;

/// The first bytes of every client.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// One frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Self {
        Self { kind, flags, stream, payload: payload.to_vec() }
    }

    /// A request for a path that the server does not have; the stream stays open on our side unless `ended`.
    pub(crate) fn request(stream: u32, path: &str, ended: bool) -> Self {
        let mut block = vec![0x83, 0x86];
        // Literal header fields without indexing: :path and :authority by their static names, then content-type.
        for (name, value) in [(0x04_u8, path), (0x01, "localhost"), (0x0f, "application/grpc")] {
            block.push(name);
            if name == 0x0f {
                // The name is index 31, which needs a second byte.
                block.push(31 - 15);
            }
            block.push(u8::try_from(value.len()).expect("short"));
            block.extend_from_slice(value.as_bytes());
        }
        Self::new(HEADERS, END_HEADERS | if ended { END_STREAM } else { 0 }, stream, &block)
    }

    /// As it goes over the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("short").to_be_bytes();
        [&length[1..], &[self.kind, self.flags], &self.stream.to_be_bytes(), &self.payload].concat()
    }

    /// The error code of a GOAWAY or `RST_STREAM`.
    pub(crate) fn error_code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }
}

/// Does what every HTTP/2 client does first.
pub(crate) fn handshake(stream: &mut TcpStream) -> Vec<(u16, u32)> {
    stream.write_all(PREFACE).expect("sent");
    send(stream, &Frame::new(SETTINGS, 0, 0, &[])).expect("sent");
    let settings = read_until(stream, |frame| frame.kind == SETTINGS && frame.flags & ACK == 0);
    send(stream, &Frame::new(SETTINGS, ACK, 0, &[])).expect("sent");
    let pair = |bytes: &[u8]| {
        let id = u16::from_be_bytes(bytes[..2].try_into().expect("two bytes"));
        (id, u32::from_be_bytes(bytes[2..6].try_into().expect("four bytes")))
    };
    settings.payload.chunks(6).map(pair).collect()
}

pub(crate) fn send(stream: &mut TcpStream, frame: &Frame) -> io::Result<()> {
    stream.write_all(&frame.bytes())
}

pub(crate) fn read(stream: &mut TcpStream) -> io::Result<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload)?;
    let id = u32::from_be_bytes(head[5..].try_into().expect("four bytes")) & 0x7fff_ffff;
    Ok(Frame { kind: head[3], flags: head[4], stream: id, payload })
}

/// Reads on until such a frame comes.
pub(crate) fn read_until(stream: &mut TcpStream, wanted: impl Fn(&Frame) -> bool) -> Frame {
    loop {
        let frame = read(stream).expect("a frame before the connection ends");
        if wanted(&frame) {
            return frame;
        }
    }
}
