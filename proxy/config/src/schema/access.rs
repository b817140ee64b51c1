//! `access`: signed tokens and the access table.

use std::path::PathBuf;

use serde::Serialize;

use crate::{decode::Cursor, mount};

/// Who may call, in files that the operator keeps up to date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Access {
    /// The issuer that a token must name.
    pub issuer: String,
    /// The audience that a token must name.
    pub audience: String,
    /// Folder of the table shards and the public keys.
    #[serde(skip_serializing_if = "Access::is_default_dir")]
    pub dir: PathBuf,
}

impl Access {
    /// Access for tokens of this issuer and audience, from the mounted folder.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self { issuer: issuer.into(), audience: audience.into(), dir: Self::default_dir() }
    }

    /// The folder of the mount contract.
    pub fn default_dir() -> PathBuf {
        PathBuf::from(mount::ACCESS_DIR)
    }

    pub(super) fn decode(cursor: &Cursor<'_>) -> Self {
        let mut section = cursor.section();
        let access = Self {
            issuer: section.required("issuer", Cursor::text).unwrap_or_default(),
            audience: section.required("audience", Cursor::text).unwrap_or_default(),
            dir: section.read("dir", Cursor::path).unwrap_or_else(Self::default_dir),
        };
        section.finish();
        access
    }

    fn is_default_dir(dir: &PathBuf) -> bool {
        *dir == Self::default_dir()
    }
}
