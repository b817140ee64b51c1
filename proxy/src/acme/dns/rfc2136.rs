//! Dynamic updates of a zone (RFC 2136), signed with a shared key (TSIG, RFC 8945), over TCP.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use hickory_proto::op::{Message, MessageType, ResponseCode, update_message};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm as Algorithm;
use hickory_proto::rr::{Name, RData, Record, RecordSet, TSigner};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use vibectl_config::{DnsUpdate, TsigAlgorithm};
use vibectl_pki::acme::Answer;
use zeroize::Zeroizing;

use crate::acme::secret_file;

/// How long resolvers may keep a record; as short as makes sense, because it is there for a minute.
const TTL: u32 = 60;
/// Clocks may differ by this many seconds.
const FUDGE: u16 = 300;
/// Time for one exchange.
const EXCHANGE: Duration = Duration::from_secs(20);
const PORT: u16 = 53;

/// Why a zone was not updated.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The key file cannot be read.
    #[error("failed to read {} (acme.dns.rfc2136.key_file)", .0.display())]
    KeyFile(PathBuf, #[source] io::Error),
    /// The key file holds something else.
    #[error("{} is not a key in base64 (acme.dns.rfc2136.key_file)", .0.display())]
    Key(PathBuf),
    /// A name of the config is none.
    #[error("{0} is not a DNS name (acme.dns.rfc2136)")]
    Name(String),
    /// The record belongs to another zone.
    #[error("{name} is not in the zone {zone} (acme.dns.rfc2136.zone)")]
    OutsideOfZone {
        /// The record.
        name: String,
        /// The zone.
        zone: String,
    },
    /// The name server cannot be reached, or does not answer.
    #[error("failed to reach the name server {0} (acme.dns.rfc2136.server)")]
    Network(String, #[source] io::Error),
    /// It refused.
    #[error("the name server {server} refuses the update: {code}; look at its update policy and at the key")]
    Refused {
        /// The name server.
        server: String,
        /// The response code.
        code: ResponseCode,
    },
    /// The answer is not signed with our key, or makes no sense.
    #[error("the answer of the name server {0} cannot be trusted: it is not signed with the key")]
    Untrusted(String),
    /// A message could not be made.
    #[error("failed to make a DNS message")]
    Message,
}

/// A zone that can be updated.
pub struct Update {
    server: String,
    zone: Name,
    signer: TSigner,
    wait: Duration,
}

impl std::fmt::Debug for Update {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Update")
            .field("server", &self.server)
            .field("zone", &self.zone)
            .finish_non_exhaustive()
    }
}

enum Change {
    Add,
    Remove,
}

impl Update {
    /// Reads the key.
    pub fn new(config: &DnsUpdate) -> Result<Self, UpdateError> {
        let name = |text: &str| {
            let mut name = Name::from_ascii(text).map_err(|_| UpdateError::Name(text.to_owned()))?;
            name.set_fqdn(true);
            Ok(name)
        };
        let algorithm = match config.key_algorithm {
            TsigAlgorithm::HmacSha256 => Algorithm::HmacSha256,
            TsigAlgorithm::HmacSha384 => Algorithm::HmacSha384,
            TsigAlgorithm::HmacSha512 => Algorithm::HmacSha512,
        };
        let key = read_key(&config.key_file)?;
        let signer = TSigner::new(key.to_vec(), algorithm, name(&config.key_name)?, FUDGE);
        Ok(Self {
            server: with_port(&config.server),
            zone: name(&config.zone)?,
            signer: signer.map_err(|_| UpdateError::Message)?,
            wait: Duration::from_secs(config.wait_seconds.into()),
        })
    }

    /// Adds the record, and gives secondary name servers their time.
    pub async fn add(&self, answer: &Answer) -> Result<(), UpdateError> {
        self.change(&Change::Add, answer).await?;
        sleep(self.wait).await;
        Ok(())
    }

    /// Removes exactly this record.
    pub async fn remove(&self, answer: &Answer) -> Result<(), UpdateError> {
        self.change(&Change::Remove, answer).await
    }

    async fn change(&self, change: &Change, answer: &Answer) -> Result<(), UpdateError> {
        let text = answer.record_name();
        let mut name = Name::from_ascii(&text).map_err(|_| UpdateError::Name(text.clone()))?;
        name.set_fqdn(true);
        // The library asserts it.
        if !self.zone.zone_of(&name) {
            return Err(UpdateError::OutsideOfZone { name: text, zone: self.zone.to_string() });
        }
        let value = RData::TXT(TXT::new(vec![answer.record_value()]));
        let set = RecordSet::from(Record::from_rdata(name, TTL, value));
        let message = match change {
            Change::Add => update_message::append(set, self.zone.clone(), false, false),
            Change::Remove => update_message::delete_by_rdata(set, self.zone.clone(), false),
        };
        self.exchange(message).await
    }

    async fn exchange(&self, mut message: Message) -> Result<(), UpdateError> {
        let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
        let verifier = message.finalize(&self.signer, now).map_err(|_| UpdateError::Message)?;
        let bytes = message.to_vec().map_err(|_| UpdateError::Message)?;
        let answer = timeout(EXCHANGE, exchange(&self.server, &bytes)).await;
        let answer = answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let answer = answer.map_err(|error| UpdateError::Network(self.server.clone(), error))?;
        let read = Message::from_vec(&answer).map_err(|_| UpdateError::Untrusted(self.server.clone()))?;
        if read.metadata.id != message.metadata.id || read.metadata.message_type != MessageType::Response {
            return Err(UpdateError::Untrusted(self.server.clone()));
        }
        // A server that does not know the key cannot sign its refusal; to believe that costs a retry at most.
        let code = read.metadata.response_code;
        if code != ResponseCode::NoError {
            return Err(UpdateError::Refused { server: self.server.clone(), code });
        }
        let trusted = verifier.is_some_and(|mut verifier| verifier.verify(&answer).is_ok());
        if trusted { Ok(()) } else { Err(UpdateError::Untrusted(self.server.clone())) }
    }
}

/// One message over TCP, with its length before it (RFC 1035, 4.2.2).
async fn exchange(server: &str, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// `host`, `host:port`, an address, or an address in brackets with a port.
fn with_port(server: &str) -> String {
    if let Ok(address) = server.parse::<std::net::IpAddr>() {
        return std::net::SocketAddr::new(address, PORT).to_string();
    }
    let has_port = server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { server.to_owned() } else { format!("{server}:{PORT}") }
}

fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, UpdateError> {
    let text = secret_file::read(path);
    let text = text.map_err(|error| UpdateError::KeyFile(path.to_owned(), error))?;
    let key = BASE64_STANDARD.decode(text.trim_ascii()).map(Zeroizing::new);
    key.ok().filter(|key| !key.is_empty()).ok_or_else(|| UpdateError::Key(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use vibectl_pki::acme::ChallengeKind;

    use super::*;
    use crate::tls::private_file::{self, PRIVATE};

    fn config(folder: &tempfile::TempDir, key: &str) -> DnsUpdate {
        let key_file = folder.path().join("key");
        private_file::create(&key_file, key.as_bytes(), PRIVATE).expect("written");
        DnsUpdate {
            server: "127.0.0.1:1".to_owned(),
            zone: "b.example".to_owned(),
            key_name: "acme".to_owned(),
            key_file,
            wait_seconds: 0,
            ..DnsUpdate::default()
        }
    }

    #[test]
    fn a_server_without_a_port_gets_the_usual_one() {
        for (server, expected) in [
            ("ns.example", "ns.example:53"),
            ("ns.example:5353", "ns.example:5353"),
            ("10.0.0.1", "10.0.0.1:53"),
            ("::1", "[::1]:53"),
            ("[::1]:5353", "[::1]:5353"),
        ] {
            assert_eq!(with_port(server), expected);
        }
    }

    #[test]
    fn a_key_that_is_none_is_told_with_its_file_and_without_its_content() {
        let folder = tempfile::tempdir().expect("a folder");

        let error = Update::new(&config(&folder, "hunter2!")).expect_err("no base64").to_string();

        assert!(
            error.contains("key (acme.dns.rfc2136.key_file)") || error.contains("not a key in base64"),
            "{error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[tokio::test]
    async fn a_name_outside_of_the_zone_is_told_before_anything_is_sent() {
        let folder = tempfile::tempdir().expect("a folder");
        let update = Update::new(&config(&folder, "c2VjcmV0")).expect("a key");
        let (name, token) = ("a.example".to_owned(), "t".to_owned());
        let answer =
            Answer { kind: ChallengeKind::Dns01, name, token, key_authorization: "t.thumb".to_owned() };

        let error = update.add(&answer).await.expect_err("another zone");

        assert!(matches!(error, UpdateError::OutsideOfZone { .. }), "{error}");
    }
}
