//! A caller's own request, of whatever API it came in by: its top-level fields are kept value for value, so that a provider
//! that speaks the same API gets what was written. No field of it chooses a provider, an address or a key.

use std::{borrow::Cow, fmt};

use bytes::{BufMut, Bytes, BytesMut};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use thiserror::Error;

use super::{ModelRequest, anthropic::MessagesBody, openai::ChatBody};

/// Why a body is not a request of its API.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct BadBody {
    /// The field that is wrong.
    pub param: Option<&'static str>,
    message: String,
}

/// What a caller asks for.
#[derive(Debug)]
pub struct NativeRequest {
    /// The model, if one is named.
    pub model: Option<String>,
    /// Whether the answer is wanted as a stream.
    pub stream: bool,
    /// Characters of the prompt; of parts that are not text and of tools, the characters of their JSON.
    pub input_length: usize,
    /// The request, with the body it was read from.
    pub request: ModelRequest,
}

/// The body itself, by the API that it is written for.
#[derive(Debug)]
pub enum Native {
    /// Chat completions of `OpenAI`.
    Chat(ChatBody),
    /// Messages of Anthropic.
    Messages(MessagesBody),
}

/// Top-level fields in their order, each value as it was written.
#[derive(Debug)]
pub(super) struct Body(Vec<(String, Bytes)>);

impl Body {
    /// Reads an object. A repeated key is refused: which one counts depends on who reads it.
    pub(super) fn parse(body: &Bytes) -> Result<Self, BadBody> {
        let text = std::str::from_utf8(body).map_err(|_| BadBody::new(None, "the body is not UTF-8"))?;
        let Fields(fields) = serde_json::from_str(text).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            BadBody::new(None, format!("the body is not a JSON object without repeated keys ({place})"))
        })?;
        let kept = |value: &RawValue| body.slice_ref(value.get().as_bytes());
        Ok(Self(fields.into_iter().map(|(key, value)| (key, kept(value))).collect()))
    }

    /// A field as it was written.
    pub(super) fn field(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// A field; null is as if absent.
    pub(super) fn get<'a, T: Deserialize<'a>>(&'a self, name: &'static str) -> Result<Option<T>, BadBody> {
        let Some(value) = self.field(name) else { return Ok(None) };
        serde_json::from_slice(value)
            .map_err(|_| BadBody::new(Some(name), format!("{name} is not of the right type")))
    }

    /// A field that has to be there.
    pub(super) fn require<'a, T: Deserialize<'a>>(&'a self, name: &'static str) -> Result<T, BadBody> {
        self.get(name)?.ok_or_else(|| BadBody::new(Some(name), format!("{name} is missing")))
    }

    /// The first field that says something although it is in neither list. What a provider takes for granted says nothing.
    pub(super) fn unread(&self, read: &[&str], hints: &[&str]) -> Option<Cow<'static, str>> {
        let says_nothing = |value: &[u8]| matches!(value, b"null" | b"false" | b"0" | b"0.0" | b"{}" | b"[]");
        let (name, _) = self.0.iter().find(|(name, value)| {
            !read.contains(&name.as_str()) && !hints.contains(&name.as_str()) && !says_nothing(value)
        })?;
        Some(short(name).into())
    }

    /// The object with other values for these fields, each at its place or, if it was not there, at the end.
    pub(super) fn with(&self, changed: &[(&str, Value)]) -> Bytes {
        let value_of = |name: &str| changed.iter().find(|(key, _)| *key == name).map(|(_, value)| value);
        let mut body =
            BytesMut::with_capacity(self.0.iter().map(|(key, value)| key.len() + value.len() + 8).sum());
        for (key, value) in &self.0 {
            match value_of(key) {
                Some(other) => put(&mut body, key, other.to_string().as_bytes()),
                None => put(&mut body, key, value),
            }
        }
        for (key, value) in changed.iter().filter(|(key, _)| self.field(key).is_none()) {
            put(&mut body, key, value.to_string().as_bytes());
        }
        if body.is_empty() {
            body.put_u8(b'{');
        }
        body.put_u8(b'}');
        body.freeze()
    }
}

fn put(body: &mut BytesMut, key: &str, value: &[u8]) {
    body.put_u8(if body.is_empty() { b'{' } else { b',' });
    body.put(Value::from(key).to_string().as_bytes());
    body.put_u8(b':');
    body.put(value);
}

/// As much of a caller's word as belongs into an error.
pub(super) fn short(word: &str) -> String {
    word.chars().take(64).collect()
}

/// The first thing that no [`ModelRequest`] can say.
#[derive(Debug, Default)]
pub(super) struct Beyond(pub(super) Option<Cow<'static, str>>);

impl Beyond {
    pub(super) fn note(&mut self, what: impl Into<Cow<'static, str>>) {
        if self.0.is_none() {
            self.0 = Some(what.into());
        }
    }

    /// What was read, or nothing and a note of why not.
    pub(super) fn unless<T: Default>(&mut self, read: Result<T, Cow<'static, str>>) -> T {
        read.unwrap_or_else(|what| {
            self.note(what);
            T::default()
        })
    }
}

struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields: Vec<(String, &RawValue)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    if fields.iter().any(|(known, _)| *known == key) {
                        return Err(A::Error::custom("repeated key"));
                    }
                    fields.push((key, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

impl BadBody {
    pub(super) fn new(param: Option<&'static str>, message: impl Into<String>) -> Self {
        Self { param, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Result<Body, BadBody> {
        Body::parse(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn what_is_not_changed_is_kept_as_it_was_written() {
        let body = body(r#"{ "messages":[{"content":"\u0061"}],"model":"small", "x": {"b": 1.0, "a":1e2} }"#)
            .expect("good");

        let sent = body.with(&[("model", "big \"1\"".into()), ("stream", true.into())]);

        assert_eq!(
            sent,
            r#"{"messages":[{"content":"\u0061"}],"model":"big \"1\"","x":{"b": 1.0, "a":1e2},"stream":true}"#
        );
        assert_eq!(Body(Vec::new()).with(&[]), "{}");
    }

    #[test]
    fn what_is_no_object_or_has_a_key_twice_is_refused_with_its_place() {
        for (text, place) in
            [(r#"{"a":1,"a":2}"#, "column 13"), ("[]", "column 0"), ("{", "column 1"), ("", "column 0")]
        {
            let error = body(text).expect_err(text);
            assert_eq!(error.param, None);
            assert!(
                error.to_string().starts_with("the body is not a JSON object without repeated keys"),
                "{error}"
            );
            assert!(error.to_string().contains(place), "{error}");
        }
        assert_eq!(
            Body::parse(&Bytes::from_static(b"\xff")).expect_err("no text").to_string(),
            "the body is not UTF-8"
        );
    }

    #[test]
    fn the_first_field_that_says_something_and_is_not_known_is_told() {
        let body = body(r#"{"model":"m","user":"bob","logprobs":false,"seed":0,"n":2,"x":1}"#).expect("good");

        assert_eq!(body.unread(&["model"], &["user"]).as_deref(), Some("n"));
        assert_eq!(body.unread(&["model", "n", "x"], &["user"]), None);
    }
}
