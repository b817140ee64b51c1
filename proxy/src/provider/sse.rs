//! Server-sent events: bytes in any pieces -> events.
//!
//! Follows the event stream format of the HTML standard: lines end in LF, CRLF or CR, an empty line ends an event, `data`
//! lines are joined, comments and other fields are skipped. Each event keeps its exact bytes, so that a stream can be
//! handed on untouched.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;
use thiserror::Error;

/// Longest single event; also all that is ever held of a stream.
pub const MAX_EVENT_BYTES: usize = 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A stream that cannot be an event stream.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("an event of the stream is longer than {MAX_EVENT_BYTES} bytes")]
pub struct EventTooLong;

/// Cuts a byte stream into events.
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: BytesMut,
    /// Bytes of the buffer that have been looked at.
    scanned: usize,
    /// Whether the current line has any byte yet.
    in_line: bool,
    after_cr: bool,
    started: bool,
}

/// One event with the bytes it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    raw: Bytes,
}

impl Splitter {
    /// Takes the next piece of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole event, if there is one in what was pushed so far.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, EventTooLong> {
        self.skip_byte_order_mark();
        while let Some(byte) = self.buffer.get(self.scanned).copied() {
            if self.in_line && !matches!(byte, b'\n' | b'\r') {
                self.scanned = self.end_of_line();
                continue;
            }
            self.scanned += 1;
            let ends_crlf = byte == b'\n' && self.after_cr;
            self.after_cr = byte == b'\r';
            if ends_crlf {
                continue;
            }
            let ends_line = byte == b'\n' || byte == b'\r';
            if ends_line && !self.in_line {
                return Ok(Some(self.cut()));
            }
            self.in_line = !ends_line;
        }
        if self.buffer.len() > MAX_EVENT_BYTES { Err(EventTooLong) } else { Ok(None) }
    }

    /// Notes the end of the stream. The standard discards an event that nobody ended; servers that forget the last empty
    /// line are common enough to end it here.
    pub fn finish(&mut self) {
        if !self.buffer.is_empty() {
            self.buffer.extend_from_slice(b"\n\n");
        }
    }

    /// Where the line that is looked at ends, or the buffer.
    fn end_of_line(&self) -> usize {
        let rest = self.buffer.get(self.scanned..).unwrap_or_default();
        self.scanned + memchr2(b'\n', b'\r', rest).unwrap_or(rest.len())
    }

    fn cut(&mut self) -> Frame {
        // The LF of a closing CRLF belongs to this event when it is here already; if not, it opens the next one unharmed.
        if self.after_cr && self.buffer.get(self.scanned) == Some(&b'\n') {
            self.scanned += 1;
            self.after_cr = false;
        }
        let raw = self.buffer.split_to(self.scanned).freeze();
        self.scanned = 0;
        Frame { raw }
    }

    fn skip_byte_order_mark(&mut self) {
        if !self.started && self.buffer.len() >= BYTE_ORDER_MARK.len() {
            self.started = true;
            if self.buffer.starts_with(BYTE_ORDER_MARK) {
                let _ = self.buffer.split_to(BYTE_ORDER_MARK.len());
                self.scanned = self.scanned.saturating_sub(BYTE_ORDER_MARK.len());
                self.in_line = self.scanned > 0;
            }
        }
    }
}

/// The data of every event of a whole stream, until one is too long.
pub(super) fn for_each(stream: &[u8], mut take: impl FnMut(&[u8])) {
    let mut splitter = Splitter::default();
    splitter.push(stream);
    splitter.finish();
    while let Ok(Some(frame)) = splitter.next_frame() {
        if let Some(data) = frame.data() {
            take(&data);
        }
    }
}

impl Frame {
    /// The joined `data` lines; `None` for a comment, a keep-alive or an event without data.
    pub fn data(&self) -> Option<Cow<'_, [u8]>> {
        let mut lines = self.raw.split(|byte| matches!(byte, b'\n' | b'\r')).filter_map(data_of);
        let first = lines.next()?;
        Some(match lines.next() {
            None => Cow::Borrowed(first),
            Some(second) => {
                let mut joined = [first, second].join(&b'\n');
                for line in lines {
                    joined.push(b'\n');
                    joined.extend_from_slice(line);
                }
                Cow::Owned(joined)
            }
        })
    }

    /// The event as it came.
    pub fn into_raw(self) -> Bytes {
        self.raw
    }
}

fn data_of(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"data")?;
    match rest {
        [] => Some(rest),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ready(splitter: &mut Splitter) -> Vec<Frame> {
        std::iter::from_fn(|| splitter.next_frame().expect("short events")).collect()
    }

    /// The data of every event when the stream comes in these pieces.
    fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut frames = Vec::new();
        for piece in pieces {
            splitter.push(piece);
            frames.extend(ready(&mut splitter));
        }
        splitter.finish();
        frames.extend(ready(&mut splitter));
        frames.iter().filter_map(|frame| Some(String::from_utf8_lossy(&frame.data()?).into_owned())).collect()
    }

    const STREAM: &str = "\u{feff}data: one\n\n: comment\r\n\r\nevent: x\ndata:two\r\ndata\r\ndata:  three\r\n\r\n\
                          data: vier \u{1f980} ä\r\rid: 7\ndatax: no\n\ndata: [DONE]";

    #[test]
    fn every_split_point_gives_the_same_events() {
        let expected = ["one", "two\n\n three", "vier \u{1f980} ä", "[DONE]"];
        let bytes = STREAM.as_bytes();

        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(events(pieces), expected, "split at {first} and {second}");
            }
        }
        assert_eq!(events(bytes.chunks(1)), expected);
    }

    #[test]
    fn an_event_without_an_end_is_cut_off_at_the_limit() {
        let mut splitter = Splitter::default();
        splitter.push(&vec![b'a'; MAX_EVENT_BYTES + 1]);

        assert_eq!(splitter.next_frame(), Err(EventTooLong));
    }

    proptest! {
        #[test]
        fn the_frames_put_together_are_the_stream(
            lines in prop::collection::vec("(data: ?[a-z]{0,5}|:x|[a-z]{0,3})(\n|\r|\r\n)", 0..20),
            cut in 1_usize..9,
        ) {
            let stream = lines.concat();
            let mut splitter = Splitter::default();
            let mut whole = Vec::new();

            for piece in stream.as_bytes().chunks(cut) {
                splitter.push(piece);
                whole.extend(ready(&mut splitter).into_iter().flat_map(Frame::into_raw));
            }
            splitter.finish();
            whole.extend(ready(&mut splitter).into_iter().flat_map(Frame::into_raw));

            prop_assert!(whole.strip_prefix(stream.as_bytes()).is_some_and(|end| b"\n\n".starts_with(end)));
        }
    }
}
