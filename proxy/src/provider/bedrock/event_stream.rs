//! The binary event stream of AWS (`application/vnd.amazon.eventstream`): bytes in any pieces -> messages.
//!
//! A message is a prelude (its length, the length of its headers, a checksum of both), headers, a payload, and a checksum of
//! everything before.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

/// Longest single message; also all that is ever held of a stream.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

const PRELUDE_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;

/// A stream that cannot be an event stream.
#[derive(Debug, Clone, Copy, Error, PartialEq, Eq)]
pub(super) enum BadMessage {
    #[error("a message of the stream is longer than {MAX_MESSAGE_BYTES} bytes")]
    TooLong,
    #[error("a message of the stream has a wrong checksum")]
    Checksum,
    #[error("a message of the stream is not well formed")]
    Form,
}

/// Cuts a byte stream into messages.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    buffer: BytesMut,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Those that are text.
    headers: Vec<(String, String)>,
    pub(super) payload: Bytes,
}

impl Splitter {
    /// Takes the next piece of the stream.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// Whether a message has begun and not ended.
    pub(super) fn is_amid_message(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next whole message, if there is one in what was pushed so far.
    pub(super) fn next_message(&mut self) -> Result<Option<Message>, BadMessage> {
        let Some(prelude) = self.buffer.first_chunk::<PRELUDE_BYTES>() else { return Ok(None) };
        let (lengths, mut checksum) = prelude.split_at(PRELUDE_BYTES - CHECKSUM_BYTES);
        if checksum.try_get_u32() != Ok(crc32fast::hash(lengths)) {
            return Err(BadMessage::Checksum);
        }
        let mut lengths = lengths;
        let (total, of_headers) = (length(&mut lengths)?, length(&mut lengths)?);
        if total > MAX_MESSAGE_BYTES {
            return Err(BadMessage::TooLong);
        }
        if of_headers.saturating_add(PRELUDE_BYTES + CHECKSUM_BYTES) > total {
            return Err(BadMessage::Form);
        }
        if self.buffer.len() < total {
            return Ok(None);
        }
        let mut content = self.buffer.split_to(total).freeze();
        let mut checksum = content.split_off(total - CHECKSUM_BYTES);
        if checksum.try_get_u32() != Ok(crc32fast::hash(&content)) {
            return Err(BadMessage::Checksum);
        }
        let payload = content.split_off(PRELUDE_BYTES + of_headers);
        let headers = content.get(PRELUDE_BYTES..).and_then(headers).ok_or(BadMessage::Form)?;
        Ok(Some(Message { headers, payload }))
    }
}

impl Message {
    /// A header that is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn length(bytes: &mut &[u8]) -> Result<usize, BadMessage> {
    let length = bytes.try_get_u32().map_err(|_| BadMessage::Form)?;
    usize::try_from(length).map_err(|_| BadMessage::TooLong)
}

/// Each header is a name, the number of its type, and a value whose length follows from the type or stands before it.
fn headers(mut bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let mut headers = Vec::new();
    while !bytes.is_empty() {
        let length = bytes.try_get_u8().ok()?.into();
        let name = text(take(&mut bytes, length)?)?;
        let kind = bytes.try_get_u8().ok()?;
        let length = match kind {
            0 | 1 => 0,
            2 => 1,
            3 => 2,
            4 => 4,
            5 | 8 => 8,
            6 | TEXT => bytes.try_get_u16().ok()?.into(),
            9 => 16,
            _ => return None,
        };
        let value = take(&mut bytes, length)?;
        if kind == TEXT {
            headers.push((name, text(value)?));
        }
    }
    Some(headers)
}

/// The type of a header that is text.
const TEXT: u8 = 7;

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message as AWS writes it.
    pub(in super::super) fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
        let mut of_headers = Vec::new();
        for (name, value) in headers {
            of_headers.push(u8::try_from(name.len()).expect("a short name"));
            of_headers.extend(name.bytes());
            of_headers.push(TEXT);
            of_headers.extend(u16::try_from(value.len()).expect("a short value").to_be_bytes());
            of_headers.extend(value.bytes());
        }
        let length = |length: usize| u32::try_from(length).expect("a short message").to_be_bytes();
        let mut bytes = length(PRELUDE_BYTES + of_headers.len() + payload.len() + CHECKSUM_BYTES).to_vec();
        bytes.extend(length(of_headers.len()));
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        bytes.extend(of_headers);
        bytes.extend(payload);
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        bytes
    }

    fn messages<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Message>, BadMessage> {
        let (mut splitter, mut messages) = (Splitter::default(), Vec::new());
        for piece in pieces {
            splitter.push(piece);
            while let Some(message) = splitter.next_message()? {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    // The examples that AWS has published with its SDKs, by their names there.
    const EMPTY_MESSAGE: [u8; 16] = [0, 0, 0, 16, 0, 0, 0, 0, 5, 194, 72, 235, 125, 152, 200, 255];
    const INT32_HEADER: &[u8] =
        b"\0\0\0\x2d\0\0\0\x10\x41\xc4\x24\xb8\x0aevent-type\x04\0\0\xa0\x0c{'foo':'bar'}\x36\xf4\x80\xa0";
    const PAYLOAD_NO_HEADERS: &[u8] = b"\0\0\0\x1d\0\0\0\0\xfd\x52\x8c\x5a{'foo':'bar'}\xc3\x65\x39\x36";
    const PAYLOAD_ONE_STR_HEADER: &[u8] =
        b"\0\0\0\x3d\0\0\0\x20\x07\xfd\x83\x96\x0ccontent-type\x07\0\x10application/json{'foo':'bar'}\x8d\x9c\x08\xb1";

    #[test]
    fn the_examples_of_aws_are_read_at_every_split_point() {
        let stream = [&EMPTY_MESSAGE, INT32_HEADER, PAYLOAD_NO_HEADERS, PAYLOAD_ONE_STR_HEADER].concat();
        let payload = Bytes::from_static(b"{'foo':'bar'}");
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let expected = Ok(vec![
            Message { headers: vec![], payload: Bytes::new() },
            Message { headers: vec![], payload: payload.clone() },
            Message { headers: vec![], payload: payload.clone() },
            Message { headers, payload },
        ]);

        for cut in 0..=stream.len() {
            assert_eq!(messages([&stream[..cut], &stream[cut..]]), expected, "split at {cut}");
        }
        assert_eq!(messages(stream.chunks(1)), expected);
        assert_eq!(
            message(&[("content-type", "application/json")], b"{'foo':'bar'}"),
            PAYLOAD_ONE_STR_HEADER
        );
    }

    #[test]
    fn whatever_bit_is_wrong_the_message_is_not_read() {
        for bit in 0..PAYLOAD_ONE_STR_HEADER.len() * 8 {
            let mut damaged = PAYLOAD_ONE_STR_HEADER.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);

            assert_eq!(messages([damaged.as_slice()]), Err(BadMessage::Checksum), "bit {bit}");
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_before_anything_is_held() {
        let prelude = |total: u32, of_headers: u32| {
            let mut bytes = [total.to_be_bytes(), of_headers.to_be_bytes()].concat();
            bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
            messages([bytes.as_slice()])
        };

        assert_eq!(prelude(u32::MAX, 0), Err(BadMessage::TooLong));
        assert_eq!(prelude(16, u32::MAX), Err(BadMessage::Form));
        assert_eq!(prelude(15, 0), Err(BadMessage::Form));
        assert_eq!(prelude(100, 10), Ok(vec![]));
    }

    #[test]
    fn headers_that_do_not_end_where_they_say_are_refused() {
        for bad in [b"\x05ab".as_slice(), b"\x01a\x07\0\x09b", b"\x01a\x0a", b"\x01a", b"\x01\xff\x00"] {
            assert_eq!(headers(bad), None, "{bad:?}");
        }
        assert_eq!(
            headers(b"\x01a\x00\x01b\x06\0\x01x\x01c\x07\0\x01y"),
            Some(vec![("c".into(), "y".into())])
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused_and_no_more_than_a_message_is_held(
            noise in prop::collection::vec(any::<u8>(), 0..200),
            of_headers in prop::collection::vec(any::<u8>(), 0..40),
            cut in 1_usize..9,
        ) {
            let _ = messages([noise.as_slice()]);

            // Good checksums around headers of any kind.
            let mut bytes = u32::try_from(of_headers.len() + 16).expect("short").to_be_bytes().to_vec();
            bytes.extend(u32::try_from(of_headers.len()).expect("short").to_be_bytes());
            bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
            bytes.extend(&of_headers);
            bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
            let read = messages(bytes.chunks(cut));
            prop_assert_eq!(read.is_ok(), headers(&of_headers).is_some());
        }
    }
}
