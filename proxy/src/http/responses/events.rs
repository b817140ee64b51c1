//! Pieces of an answer -> events of a stream, each with its number. Items are begun as they come and ended in their order when
//! the answer is complete, because a provider may say several calls at the same time.

use serde_json::{Value, json};

use super::{
    super::respond::Head,
    answer::{self, COMPLETED, IN_PROGRESS, Item, function_call, message, output_text},
};
use crate::{
    call::Summary,
    error::CallError,
    provider::{Piece, ToolCall},
};

/// The events so far.
#[derive(Debug)]
pub(super) struct Events {
    head: Head,
    out: Out,
    opened: bool,
    items: Vec<Said>,
}

/// An item, as far as it has come.
#[derive(Debug)]
enum Said {
    Text(String),
    /// One of the model's calls, by its number.
    Call(u32, ToolCall),
}

/// Events as they are sent, and the number of the next.
#[derive(Debug, Default)]
struct Out {
    number: u64,
    bytes: Vec<u8>,
}

impl Out {
    fn event(&mut self, name: &str, mut fields: Value) {
        fields["type"] = name.into();
        fields["sequence_number"] = self.number.into();
        self.number += 1;
        self.bytes.extend_from_slice(format!("event: {name}\ndata: {fields}\n\n").as_bytes());
    }
}

impl Events {
    pub(super) fn of(head: Head) -> Self {
        Self { head, out: Out::default(), opened: false, items: Vec::new() }
    }

    /// The events that a piece becomes.
    pub(super) fn said(&mut self, piece: Piece) -> Vec<u8> {
        self.open();
        match piece {
            Piece::Text(delta) => self.text(&delta),
            Piece::Call { index, id, name } => {
                let call = ToolCall { id, name, arguments: String::new() };
                let item = function_call(&self.head, self.next(), IN_PROGRESS, call.clone());
                self.out
                    .event("response.output_item.added", json!({"output_index": self.next(), "item": item}));
                self.items.push(Said::Call(index, call));
            }
            Piece::Arguments { index, json } => self.arguments(index, &json),
        }
        self.taken()
    }

    /// The last events of a complete answer.
    pub(super) fn done(&mut self, summary: &Summary) -> Vec<u8> {
        self.open();
        let items = std::mem::take(&mut self.items);
        let output: Vec<Item> = (0..).zip(items).map(|(place, said)| self.close(place, said)).collect();
        let response = answer::ended(&self.head, output, summary);
        let name = if response.is_complete() { "response.completed" } else { "response.incomplete" };
        self.out.event(name, json!({"response": response}));
        self.taken()
    }

    /// The last event of an answer that failed on its way.
    pub(super) fn failed(&mut self, error: &CallError) -> Vec<u8> {
        self.open();
        let response = answer::failed(&self.head, error);
        self.out.event("response.failed", json!({"response": response}));
        self.taken()
    }

    fn open(&mut self) {
        if !std::mem::replace(&mut self.opened, true) {
            for name in ["response.created", "response.in_progress"] {
                self.out.event(name, json!({"response": answer::begun(&self.head)}));
            }
        }
    }

    fn text(&mut self, delta: &str) {
        if !matches!(self.items.last(), Some(Said::Text(_))) {
            let place = self.next();
            let item = message(&self.head, place, IN_PROGRESS, None);
            let (id, part) = (item.id().to_owned(), output_text(String::new()));
            self.out.event("response.output_item.added", json!({"output_index": place, "item": item}));
            self.out.event(
                "response.content_part.added",
                json!({"item_id": id, "output_index": place, "content_index": 0, "part": part}),
            );
            self.items.push(Said::Text(String::new()));
        }
        let place = self.next().saturating_sub(1);
        if let Some(Said::Text(text)) = self.items.last_mut() {
            text.push_str(delta);
        }
        let id = answer::message_id(&self.head, place);
        self.out.event(
            "response.output_text.delta",
            json!({"item_id": id, "output_index": place, "content_index": 0, "delta": delta, "logprobs": []}),
        );
    }

    fn arguments(&mut self, index: u32, delta: &str) {
        // Decoders say which call it is before they say anything of it.
        let found = (0..).zip(&mut self.items).find_map(|(place, said)| match said {
            Said::Call(known, call) if *known == index => Some((place, call)),
            Said::Call(..) | Said::Text(_) => None,
        });
        let Some((place, call)) = found else { return };
        call.arguments.push_str(delta);
        let id = answer::function_call_id(&self.head, place);
        self.out.event(
            "response.function_call_arguments.delta",
            json!({"item_id": id, "output_index": place, "delta": delta}),
        );
    }

    /// The end of an item, and the item.
    fn close(&mut self, place: u32, said: Said) -> Item {
        let item = match said {
            Said::Text(text) => {
                let id = answer::message_id(&self.head, place);
                let at = |fields: Value| {
                    let mut fields = fields;
                    fields["item_id"] = id.as_str().into();
                    fields["output_index"] = place.into();
                    fields["content_index"] = 0.into();
                    fields
                };
                self.out.event("response.output_text.done", at(json!({"text": text, "logprobs": []})));
                self.out.event("response.content_part.done", at(json!({"part": output_text(text.clone())})));
                message(&self.head, place, COMPLETED, Some(text))
            }
            Said::Call(_, call) => {
                let id = answer::function_call_id(&self.head, place);
                self.out.event(
                    "response.function_call_arguments.done",
                    json!({"item_id": id, "output_index": place, "name": call.name, "arguments": call.arguments}),
                );
                function_call(&self.head, place, COMPLETED, call)
            }
        };
        self.out.event("response.output_item.done", json!({"output_index": place, "item": item}));
        item
    }

    /// The place of the next item.
    fn next(&self) -> u32 {
        u32::try_from(self.items.len()).unwrap_or(u32::MAX)
    }

    fn taken(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{provider::Finish, usage::Usage};

    fn events() -> Events {
        Events::of(Head { id: Arc::from("1"), created: 1_700_000_000, model: Arc::from("small") })
    }

    fn summary(finish: Finish) -> Summary {
        Summary {
            model: Arc::from("small"),
            usage: Usage { input_tokens: 11, output_tokens: 7, estimated: false },
            cost: None,
            finish,
            cached_tokens: 3,
            duration: Duration::ZERO,
            retries: 0,
        }
    }

    /// The stream of these pieces.
    fn stream(pieces: impl IntoIterator<Item = Piece>, finish: Finish) -> String {
        let mut events = events();
        let mut bytes: Vec<u8> = pieces.into_iter().flat_map(|piece| events.said(piece)).collect();
        bytes.extend(events.done(&summary(finish)));
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn words_and_calls_are_items_that_are_begun_grow_and_end() {
        let call = |index| Piece::Call { index, id: format!("c{index}"), name: "look".to_owned() };
        let arguments = |index, json: &str| Piece::Arguments { index, json: json.to_owned() };
        let pieces = [
            Piece::Text("Let ".into()),
            Piece::Text("me.".into()),
            call(0),
            call(1),
            arguments(1, "{}"),
            arguments(0, "{\"at\":1}"),
        ];

        insta::assert_snapshot!(stream(pieces, Finish::ToolCalls));
    }

    #[test]
    fn an_answer_that_was_cut_is_incomplete_and_one_that_failed_says_why() {
        let cut = stream([Piece::Text("Let ".into())], Finish::Length);
        let failed = String::from_utf8(events().failed(&CallError::DeadlineExceeded)).expect("text");

        assert!(cut.contains("event: response.incomplete\n"), "{cut}");
        assert!(cut.contains(r#""incomplete_details":{"reason":"max_output_tokens"}"#), "{cut}");
        assert!(failed.ends_with("\n\n") && failed.contains("event: response.failed\n"), "{failed}");
        assert!(failed.contains(r#""code":"timeout""#), "{failed}");
    }
}
