//! `models`: what callers ask for, and where each goes.

use serde::Serialize;

use super::{EMBEDDED_ECHO, price::Price};
use crate::decode::Cursor;

/// A model as callers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Model {
    /// What callers ask for.
    pub name: String,
    /// Further names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Where calls go to; never empty.
    pub routes: Vec<Route>,
    /// The context length that is told to callers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_context_length: Option<u32>,
    /// Whether an answer that is not valid for its schema gets a second chance.
    #[serde(skip_serializing_if = "Model::is_default_structured_repair")]
    pub structured_repair: bool,
}

impl Model {
    /// Of a model that says nothing: the first answer is paid already, and without a second one it was for nothing.
    pub const DEFAULT_STRUCTURED_REPAIR: bool = true;

    /// The model that exists when a config names none.
    pub fn embedded_echo() -> Self {
        Self {
            name: EMBEDDED_ECHO.to_owned(),
            aliases: vec!["default".to_owned()],
            routes: vec![Route::new(EMBEDDED_ECHO, EMBEDDED_ECHO)],
            max_context_length: None,
            structured_repair: Self::DEFAULT_STRUCTURED_REPAIR,
        }
    }

    pub(super) fn decode(cursor: &Cursor<'_>) -> Self {
        let mut section = cursor.section();
        let model = Self {
            name: section.required("name", Cursor::model_name).unwrap_or_default(),
            aliases: section.decode("aliases", Cursor::model_names),
            routes: section
                .required("routes", |cursor| Some(cursor.some_items().iter().map(Route::decode).collect()))
                .unwrap_or_default(),
            max_context_length: section.read("max_context_length", |cursor| cursor.integer(1..=u32::MAX)),
            structured_repair: section
                .read("structured_repair", Cursor::boolean)
                .unwrap_or(Self::DEFAULT_STRUCTURED_REPAIR),
        };
        section.finish();
        model
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    fn is_default_structured_repair(structured_repair: &bool) -> bool {
        *structured_repair == Self::DEFAULT_STRUCTURED_REPAIR
    }

    /// Everything that the model answers to: its name first, then its aliases.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.name).chain(&self.aliases).map(String::as_str)
    }

    /// Whether this is the model's name or one of its aliases.
    pub fn is_called(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }
}

/// The largest weight of a route: sums of many stay far inside of 64 bits.
const MAX_WEIGHT: u32 = 1_000_000;

/// One place that can answer calls for a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Route {
    /// The provider's name.
    pub provider: String,
    /// What the provider calls the model.
    pub model: String,
    /// Lower is tried first.
    #[serde(skip_serializing_if = "Route::is_default_priority")]
    pub priority: u32,
    /// The share among routes of the same priority.
    #[serde(skip_serializing_if = "Route::is_default_weight")]
    pub weight: u32,
    /// What the provider asks for it; absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
}

impl Route {
    /// The priority of a route that names none.
    pub const DEFAULT_PRIORITY: u32 = 0;
    /// The weight of a route that names none.
    pub const DEFAULT_WEIGHT: u32 = 1;

    /// A route with default priority and weight.
    pub fn new(provider: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            provider: provider.into(),
            model: model.into(),
            priority: Self::DEFAULT_PRIORITY,
            weight: Self::DEFAULT_WEIGHT,
            price: None,
        }
    }

    fn decode(cursor: &Cursor<'_>) -> Self {
        let mut section = cursor.section();
        let route = Self {
            provider: section.required("provider", Cursor::text).unwrap_or_default(),
            model: section.required("model", Cursor::model_name).unwrap_or_default(),
            priority: section
                .read("priority", |cursor| cursor.integer(0..=u32::MAX))
                .unwrap_or(Self::DEFAULT_PRIORITY),
            weight: section
                .read("weight", |cursor| cursor.integer(1..=MAX_WEIGHT))
                .unwrap_or(Self::DEFAULT_WEIGHT),
            price: section.read("price", |cursor| Some(Price::decode(cursor))),
        };
        section.finish();
        route
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    fn is_default_priority(priority: &u32) -> bool {
        *priority == Self::DEFAULT_PRIORITY
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    fn is_default_weight(weight: &u32) -> bool {
        *weight == Self::DEFAULT_WEIGHT
    }
}
