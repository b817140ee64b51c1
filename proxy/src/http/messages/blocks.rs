//! Pieces of an answer -> blocks of a stream, which come one after the other here.
//!
//! A block is closed when another begins, and nothing can be added to it then. While a call of a tool is being said, what
//! belongs elsewhere is held back to the end of the answer: some providers say several calls at the same time.

use super::answer::{Begun, Delta, Empty, Event};
use crate::provider::Piece;

/// The blocks so far.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// What is being said, as the block before `next`.
    open: Option<Open>,
    next: u32,
    held: Vec<Held>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    /// One of the model's calls.
    Call(u32),
}

/// A block that waits for its turn.
#[derive(Debug)]
struct Held {
    what: Open,
    begun: Begun,
    text: String,
}

impl Blocks {
    /// The events that a piece becomes.
    pub(super) fn said(&mut self, piece: Piece) -> Vec<Event<'static>> {
        match (piece, self.open) {
            (Piece::Text(text), Some(Open::Text)) => vec![self.more(Delta::TextDelta { text })],
            (Piece::Text(text), None) => {
                let begun = self.begin(Open::Text, text_block());
                vec![begun, self.more(Delta::TextDelta { text })]
            }
            (Piece::Call { index, id, name }, None | Some(Open::Text)) => {
                let closed = self.close();
                closed.into_iter().chain([self.begin(Open::Call(index), call_block(id, name))]).collect()
            }
            (Piece::Arguments { index, json }, Some(Open::Call(open))) if open == index => {
                vec![self.more(Delta::InputJsonDelta { partial_json: json })]
            }
            (piece, _) => {
                self.hold(piece);
                Vec::new()
            }
        }
    }

    /// The rest of the blocks.
    pub(super) fn finish(&mut self) -> Vec<Event<'static>> {
        let mut events: Vec<_> = self.close().into_iter().collect();
        for Held { what, begun, text } in std::mem::take(&mut self.held) {
            events.push(self.begin(what, begun));
            if !text.is_empty() {
                events.push(self.more(match what {
                    Open::Text => Delta::TextDelta { text },
                    Open::Call(_) => Delta::InputJsonDelta { partial_json: text },
                }));
            }
            events.extend(self.close());
        }
        events
    }

    fn begin(&mut self, what: Open, content_block: Begun) -> Event<'static> {
        self.open = Some(what);
        self.next += 1;
        Event::ContentBlockStart { index: self.next - 1, content_block }
    }

    fn more(&self, delta: Delta) -> Event<'static> {
        Event::ContentBlockDelta { index: self.next.saturating_sub(1), delta }
    }

    fn close(&mut self) -> Option<Event<'static>> {
        self.open.take().map(|_| Event::ContentBlockStop { index: self.next.saturating_sub(1) })
    }

    fn hold(&mut self, piece: Piece) {
        match piece {
            Piece::Text(text) => match self.held.last_mut().filter(|held| held.what == Open::Text) {
                Some(held) => held.text.push_str(&text),
                None => self.held.push(Held { what: Open::Text, begun: text_block(), text }),
            },
            Piece::Call { index, id, name } => {
                let begun = call_block(id, name);
                self.held.push(Held { what: Open::Call(index), begun, text: String::new() });
            }
            Piece::Arguments { index, json } => {
                // Decoders say which call it is before they say anything of it.
                if let Some(held) = self.held.iter_mut().find(|held| held.what == Open::Call(index)) {
                    held.text.push_str(&json);
                }
            }
        }
    }
}

fn text_block() -> Begun {
    Begun::Text { text: "" }
}

fn call_block(id: String, name: String) -> Begun {
    Begun::ToolUse { id, name, input: Empty {} }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    fn call(index: u32) -> Piece {
        Piece::Call { index, id: format!("c{index}"), name: "look".to_owned() }
    }

    fn arguments(index: u32, json: &str) -> Piece {
        Piece::Arguments { index, json: json.to_owned() }
    }

    /// The events of these pieces, one line each.
    fn events(pieces: impl IntoIterator<Item = Piece>) -> Vec<String> {
        let mut blocks = Blocks::default();
        let mut events: Vec<_> = pieces.into_iter().flat_map(|piece| blocks.said(piece)).collect();
        events.extend(blocks.finish());
        let line = |event: &Event<'_>| match event {
            Event::ContentBlockStart { index, content_block: Begun::Text { .. } } => format!("{index} text"),
            Event::ContentBlockStart { index, content_block: Begun::ToolUse { id, .. } } => {
                format!("{index} {id}")
            }
            Event::ContentBlockDelta { index, delta: Delta::TextDelta { text } } => {
                format!("{index} +{text}")
            }
            Event::ContentBlockDelta { index, delta: Delta::InputJsonDelta { partial_json } } => {
                format!("{index} +{partial_json}")
            }
            Event::ContentBlockStop { index } => format!("{index} end"),
            other => format!("{other:?}"),
        };
        events.iter().map(line).collect()
    }

    #[test]
    fn words_are_one_block_and_each_call_another() {
        let pieces = [text("Let "), text("me."), call(0), arguments(0, "{"), arguments(0, "}")];

        assert_eq!(events(pieces), ["0 text", "0 +Let ", "0 +me.", "0 end", "1 c0", "1 +{", "1 +}", "1 end"]);
    }

    #[test]
    fn calls_that_are_said_at_the_same_time_follow_each_other() {
        let pieces = [
            call(0),
            call(1),
            arguments(1, "{\"b\""),
            arguments(0, "{}"),
            text("and "),
            arguments(1, ":1}"),
            text("so"),
        ];

        assert_eq!(
            events(pieces),
            ["0 c0", "0 +{}", "0 end", "1 c1", "1 +{\"b\":1}", "1 end", "2 text", "2 +and so", "2 end"]
        );
    }

    #[test]
    fn an_answer_of_nothing_has_no_blocks() {
        assert!(events([]).is_empty());
    }
}
