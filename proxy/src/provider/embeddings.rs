//! Texts -> vectors: the embeddings API of `OpenAI`, which compatible servers have as well.

use bytes::Bytes;
use serde::Deserialize;

use super::native::{BadBody, Body};

/// Longest vector that can be asked for.
const MAX_DIMENSIONS: u32 = 4096;

/// As everywhere where nobody has counted.
const CHARS_OF_A_TOKEN: usize = 4;

/// Most texts of one request, as at `OpenAI`.
const MAX_TEXTS: usize = 2048;

/// What a caller asks for.
#[derive(Debug)]
pub struct EmbeddingsRequest {
    /// The model, if one is named.
    pub model: Option<String>,
    /// Characters of the input; four for each token of input that is tokens already.
    pub input_length: usize,
    /// What is to be made a vector of; `None` for input that is tokens already.
    pub texts: Option<Vec<String>>,
    /// How long vectors are to be.
    pub dimensions: Option<u32>,
    /// Vectors are wanted as little-endian 32-bit numbers in base64.
    pub base64: bool,
    body: Body,
}

/// The vectors.
#[derive(Debug)]
pub enum Vectors {
    /// One for each text.
    Numbers(Vec<Vec<f32>>),
    /// The provider's own response to the caller's own request.
    Raw(Bytes),
}

/// The answer to a request.
#[derive(Debug)]
pub struct Embeddings {
    /// The vectors.
    pub vectors: Vectors,
    /// Tokens of the input, where the provider told.
    pub input_tokens: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
    Tokens(Vec<u32>),
    ManyTokens(Vec<Vec<u32>>),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Encoding {
    Float,
    Base64,
}

impl EmbeddingsRequest {
    /// Reads a request.
    pub fn parse(body: &Bytes) -> Result<Self, BadBody> {
        let body = Body::parse(body)?;
        let (texts, input_length) = match body.require("input")? {
            Input::One(text) => {
                let length = text.chars().count();
                (Some(vec![text]), length)
            }
            Input::Many(texts) if texts.len() > MAX_TEXTS => {
                return Err(BadBody::new(Some("input"), format!("input has more than {MAX_TEXTS} texts")));
            }
            Input::Many(texts) => {
                let length = texts.iter().map(|text| text.chars().count()).sum();
                (Some(texts), length)
            }
            Input::Tokens(tokens) => (None, tokens.len() * CHARS_OF_A_TOKEN),
            Input::ManyTokens(many) => (None, many.iter().map(Vec::len).sum::<usize>() * CHARS_OF_A_TOKEN),
        };
        let dimensions = body.get("dimensions")?;
        if dimensions.is_some_and(|dimensions| dimensions == 0 || dimensions > MAX_DIMENSIONS) {
            let message = format!("dimensions is not between 1 and {MAX_DIMENSIONS}");
            return Err(BadBody::new(Some("dimensions"), message));
        }
        Ok(Self {
            model: body.get("model")?,
            input_length,
            texts,
            dimensions,
            base64: matches!(body.get("encoding_format")?, Some(Encoding::Base64)),
            body,
        })
    }

    /// The body for a provider: another model name, else as it came.
    pub(super) fn for_provider(&self, model: &str) -> Bytes {
        self.body.with(&[("model", model.into())])
    }
}

/// The tokens that a response tells of.
pub(super) fn input_tokens(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Response {
        usage: Usage,
    }
    #[derive(Deserialize)]
    struct Usage {
        prompt_tokens: u64,
    }
    serde_json::from_slice(body).ok().map(|Response { usage: Usage { prompt_tokens } }| prompt_tokens)
}

/// A vector of length 1 that only depends on the text: the same text is at the same place, and that is all it means.
pub(super) fn vector_of(text: &str, dimensions: u32) -> Vec<f32> {
    let seed = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let number = |place: u32| {
        let mixed = (seed ^ (u64::from(place) << 32)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [high, low, ..] = (mixed ^ (mixed >> 31)).to_be_bytes();
        f32::from(u16::from_be_bytes([high, low])) / 32_768.0 - 1.0
    };
    let numbers: Vec<f32> = (0..dimensions).map(number).collect();
    let length = numbers.iter().map(|number| number * number).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    numbers.into_iter().map(|number| number / length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &'static str) -> Result<EmbeddingsRequest, BadBody> {
        EmbeddingsRequest::parse(&Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn input_is_read_in_every_form() {
        let one = parsed(r#"{"model":"m","input":"héllo","encoding_format":"base64","dimensions":3}"#)
            .expect("good");
        let many = parsed(r#"{"input":["a","bc"]}"#).expect("good");
        let tokens = parsed(r#"{"input":[[1,2],[3]]}"#).expect("good");

        assert_eq!((one.input_length, one.base64, one.dimensions), (5, true, Some(3)));
        assert_eq!(
            (many.input_length, many.base64, many.texts.map(|texts| texts.len())),
            (3, false, Some(2))
        );
        assert_eq!((tokens.input_length, tokens.texts), (12, None));
        assert_eq!(
            one.for_provider("text-3"),
            r#"{"model":"text-3","input":"héllo","encoding_format":"base64","dimensions":3}"#
        );
    }

    #[test]
    fn a_mistake_names_its_field() {
        for (body, param) in [
            (r#"{"model":"m"}"#, "input"),
            (r#"{"input":{}}"#, "input"),
            (r#"{"input":"x","dimensions":0}"#, "dimensions"),
            (r#"{"input":"x","encoding_format":"hex"}"#, "encoding_format"),
        ] {
            assert_eq!(parsed(body).expect_err(body).param, Some(param), "{body}");
        }
    }

    #[test]
    fn the_same_text_has_the_same_vector_of_length_1_and_another_text_another() {
        let length = |vector: &[f32]| vector.iter().map(|number| number * number).sum::<f32>();

        let vector = vector_of("hello", 16);

        assert_eq!(vector, vector_of("hello", 16));
        assert_ne!(vector, vector_of("hello!", 16));
        assert!((length(&vector) - 1.0).abs() < 1e-3, "{vector:?}");
    }
}
