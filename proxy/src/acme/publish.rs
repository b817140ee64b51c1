//! Makes answers visible: as files that listener and handshake look into, or as DNS records.

use std::io;

use tokio::task::spawn_blocking;
use vibectl_pki::acme::{Answer, ChallengeKind, Publisher};

use crate::acme::answers::Answers;
use crate::acme::dns::{DnsError, Records};

/// Why an answer cannot be published or taken back.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublishError {
    /// The folder of answers.
    #[error("failed to write the answer")]
    File(#[from] io::Error),
    /// The DNS record.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// A kind that this server was not set up for.
    #[error("no way to make DNS records is configured (acme.dns)")]
    NoDns,
}

/// All ways together; which one is used is decided by the kind of the answer.
#[derive(Debug)]
pub(super) struct Publish {
    pub(super) answers: Answers,
    pub(super) records: Option<Records>,
}

impl Publish {
    async fn file(
        &self,
        answer: &Answer,
        change: impl FnOnce(&Answers, &Answer) -> io::Result<()> + Send + 'static,
    ) -> Result<(), PublishError> {
        let (answers, answer) = (self.answers.clone(), answer.clone());
        let changed = spawn_blocking(move || change(&answers, &answer)).await;
        Ok(changed.map_err(io::Error::other)??)
    }

    fn records(&self) -> Result<&Records, PublishError> {
        self.records.as_ref().ok_or(PublishError::NoDns)
    }
}

impl Publisher for Publish {
    type Error = PublishError;

    async fn publish(&self, answer: &Answer) -> Result<(), PublishError> {
        match answer.kind {
            ChallengeKind::Dns01 => Ok(self.records()?.add(answer).await?),
            _ => self.file(answer, Answers::put).await,
        }
    }

    async fn withdraw(&self, answer: &Answer) -> Result<(), PublishError> {
        match answer.kind {
            ChallengeKind::Dns01 => Ok(self.records()?.remove(answer).await?),
            _ => self.file(answer, Answers::remove).await,
        }
    }
}
