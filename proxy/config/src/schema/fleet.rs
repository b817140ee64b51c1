//! `fleet`: the port on which the operator asks how the server is doing.

use std::path::PathBuf;

use crate::{decode::Cursor, mount};

/// The fleet port, mTLS only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// Host name or IP address to listen on.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Folder of the server's identity, the operator's CA and the revision key.
    pub dir: PathBuf,
}

impl Default for Fleet {
    fn default() -> Self {
        Self { host: "0.0.0.0".to_owned(), port: 9443, dir: PathBuf::from(mount::FLEET_DIR) }
    }
}

impl Fleet {
    pub(super) fn decode(cursor: &Cursor<'_>) -> Self {
        let default = Self::default();
        let mut section = cursor.section();
        let fleet = Self {
            host: section.read("host", Cursor::host).unwrap_or(default.host),
            port: section.read("port", Cursor::port).unwrap_or(default.port),
            dir: section.read("dir", Cursor::path).unwrap_or(default.dir),
        };
        section.finish();
        fleet
    }
}

serialize_differences!(Fleet { host, port, dir });
