//! Where the engine keeps what has to survive a crash. Bytes under a few fixed names, so that a folder and a Secret both do.

use std::fmt;

use zeroize::Zeroizing;

/// What is kept; each is written whole or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Record {
    /// The account and its key. Secret.
    Account,
    /// The order that is being worked on, with the key of its certificate. Secret.
    Order,
    /// Failures, limits, renewal information.
    History,
    /// The newest good certificate with its key. Secret.
    Certificate,
}

impl Record {
    /// Every record.
    pub const ALL: [Self; 4] = [Self::Account, Self::Order, Self::History, Self::Certificate];

    /// Its name, for the name of a file or the key of a Secret.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Order => "order",
            Self::History => "history",
            Self::Certificate => "certificate",
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The store cannot be read or written, or was lost to another process.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub Box<dyn std::error::Error + Send + Sync>);

/// Keeps the records of one directory URL and one set of names.
pub trait Store: Send + Sync {
    /// The right to write.
    type Session: Session;

    /// Takes the right to write, or tells (by `None`) that another process has it. It ends with the session, and with the
    /// process that holds it, however that ends.
    fn open(&self) -> impl Future<Output = Result<Option<Self::Session>, StoreError>> + Send;

    /// What was written last.
    fn read(
        &self,
        record: Record,
    ) -> impl Future<Output = Result<Option<Zeroizing<Vec<u8>>>, StoreError>> + Send;
}

/// The right to write, held by one process at a time.
pub trait Session: Send + Sync {
    /// Replaces a record, or removes it. When this returns, the change survives a crash of the machine.
    ///
    /// An error when the right was lost meanwhile: then nothing may be written, and nothing be asked of the network.
    fn write(
        &mut self,
        record: Record,
        content: Option<&[u8]>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
