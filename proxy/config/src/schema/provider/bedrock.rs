//! `providers[].bedrock`.

use std::path::PathBuf;

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{Endpoint, NO_KEYS_HERE};
use crate::decode::{Cursor, Section};

/// Amazon Bedrock in one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bedrock {
    /// The region that signatures are made for.
    pub region: String,
    /// Where it is; without a key, as requests are signed.
    pub endpoint: Endpoint,
    /// Names the key that signs.
    pub access_key_id: SecretSource,
    /// Signs.
    pub secret_access_key: SecretSource,
    /// Goes with keys that are valid for a time only.
    pub session_token: Option<SecretSource>,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In this file.
    File(PathBuf),
    /// In the environment variable of this name.
    Variable(String),
}

impl Bedrock {
    /// Where Bedrock itself answers in a region.
    pub fn default_base_url(region: &str) -> String {
        format!("https://bedrock-runtime.{region}.amazonaws.com")
    }

    pub(super) fn decode(cursor: &Cursor<'_>) -> Self {
        let mut section = cursor.section();
        let region = section.required("region", region).unwrap_or_default();
        let base_url = section.read("base_url", Cursor::base_url);
        let bedrock = Self {
            endpoint: Endpoint {
                ca_file: section.read("ca_file", Cursor::path),
                ..Endpoint::new(base_url.unwrap_or_else(|| Self::default_base_url(&region)))
            },
            region,
            access_key_id: SecretSource::required(
                cursor,
                &mut section,
                ["access_key_id_file", "access_key_id_env"],
            ),
            secret_access_key: SecretSource::required(
                cursor,
                &mut section,
                ["secret_access_key_file", "secret_access_key_env"],
            ),
            session_token: SecretSource::read(
                cursor,
                &mut section,
                ["session_token_file", "session_token_env"],
            ),
        };
        section.finish_with(&[
            ("access_key_id", NO_KEYS_HERE),
            ("secret_access_key", NO_KEYS_HERE),
            ("session_token", NO_KEYS_HERE),
        ]);
        bedrock
    }
}

impl SecretSource {
    /// What the two keys say: that of a file and that of a variable.
    pub(super) fn read(
        cursor: &Cursor<'_>,
        section: &mut Section<'_>,
        [file, variable]: [&'static str; 2],
    ) -> Option<Self> {
        let in_file = section.read(file, Cursor::path);
        let in_variable = section.read(variable, Cursor::environment_name);
        if in_file.is_some() && in_variable.is_some() {
            cursor.mistake(format!("{file} and {variable} exclude each other"));
        }
        in_file.map(Self::File).or(in_variable.map(Self::Variable))
    }

    /// As [`Self::read`], where one of them has to be there.
    pub(super) fn required(cursor: &Cursor<'_>, section: &mut Section<'_>, keys: [&'static str; 2]) -> Self {
        let named = keys.iter().any(|key| section.has(key));
        let source = Self::read(cursor, section, keys);
        if !named {
            section.mistake(&format!("one of the keys {} is missing", keys.join(" and ")));
        }
        source.unwrap_or_else(|| Self::Variable(String::new()))
    }

    /// The file, where it is one.
    pub fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::File(path) => Some(path),
            Self::Variable(_) => None,
        }
    }

    /// Writes the one of the two keys that says it.
    pub(super) fn serialize<M: SerializeMap>(
        &self,
        map: &mut M,
        [file, variable]: [&'static str; 2],
    ) -> Result<(), M::Error> {
        match self {
            Self::File(path) => map.serialize_entry(file, path),
            Self::Variable(name) => map.serialize_entry(variable, name),
        }
    }
}

impl Serialize for Bedrock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { region, endpoint, access_key_id, secret_access_key, session_token } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("region", region)?;
        map.serialize_entry("base_url", &endpoint.base_url)?;
        access_key_id.serialize(&mut map, ["access_key_id_file", "access_key_id_env"])?;
        secret_access_key.serialize(&mut map, ["secret_access_key_file", "secret_access_key_env"])?;
        if let Some(token) = session_token {
            token.serialize(&mut map, ["session_token_file", "session_token_env"])?;
        }
        if let Some(ca_file) = &endpoint.ca_file {
            map.serialize_entry("ca_file", ca_file)?;
        }
        map.end()
    }
}

/// Such as `eu-central-1`. It becomes part of an address.
pub(super) fn region(cursor: &Cursor<'_>) -> Option<String> {
    let is_region = |text: &str| {
        text.len() <= 63
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-')
    };
    cursor.text().filter(|text| cursor.fits(is_region(text), "a region such as eu-central-1"))
}
