//! Answers to challenges, as files: any process that sees the folder can give them, whichever one the ACME server asks.
//!
//! `KIND/KEY`, where the key is the token (HTTP-01) or the name (TLS-ALPN-01); the content is the key authorization.

use std::io;
use std::path::{Path, PathBuf};

use vibectl_pki::Name;
use vibectl_pki::acme::{Answer, ChallengeKind};

use crate::tls::private_file::{self, PRIVATE, PRIVATE_DIR};

/// The longest key authorization that is read; real ones have 87 characters.
const MAX_LENGTH: u64 = 512;

/// The folder with the answers.
#[derive(Clone, Debug)]
pub struct Answers {
    folder: PathBuf,
}

impl Answers {
    /// Answers in this folder, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Writes an answer.
    pub fn put(&self, answer: &Answer) -> io::Result<()> {
        let path = self.path_of(answer).ok_or(io::ErrorKind::InvalidInput)?;
        if let Some(parent) = path.parent() {
            private_file::create_dir(parent, PRIVATE_DIR)?;
        }
        private_file::replace(&path, answer.key_authorization.as_bytes(), PRIVATE)
    }

    /// Removes exactly this answer.
    pub fn remove(&self, answer: &Answer) -> io::Result<()> {
        let path = self.path_of(answer).ok_or(io::ErrorKind::InvalidInput)?;
        match read(&path) {
            Some(text) if text == answer.key_authorization => std::fs::remove_file(&path),
            _ => Ok(()),
        }
    }

    /// The answer to the HTTP-01 challenge with this token.
    pub fn of_token(&self, token: &str) -> Option<String> {
        Answer::is_token(token).then(|| read(&self.path(ChallengeKind::Http01, token))).flatten()
    }

    /// The answer to the TLS-ALPN-01 challenge of this name.
    pub fn of_name(&self, name: &str) -> Option<Answer> {
        let name = dns_name(name)?;
        let key_authorization = read(&self.path(ChallengeKind::TlsAlpn01, &name))?;
        Some(Answer { kind: ChallengeKind::TlsAlpn01, name, token: String::new(), key_authorization })
    }

    fn path_of(&self, answer: &Answer) -> Option<PathBuf> {
        let key = match answer.kind {
            ChallengeKind::Http01 => Some(answer.token.clone()).filter(|token| Answer::is_token(token)),
            ChallengeKind::TlsAlpn01 => dns_name(&answer.name),
            ChallengeKind::Dns01 => None,
        };
        key.map(|key| self.path(answer.kind, &key))
    }

    fn path(&self, kind: ChallengeKind, key: &str) -> PathBuf {
        self.folder.join(kind.as_str()).join(key)
    }
}

/// In the one spelling that files have; nothing that is not a name of labels gets near a path.
pub(super) fn dns_name(text: &str) -> Option<String> {
    match text.parse() {
        Ok(Name::Dns(name)) if !name.starts_with('*') => Some(name),
        _ => None,
    }
}

fn read(path: &Path) -> Option<String> {
    let length = std::fs::metadata(path).ok()?.len();
    if length > MAX_LENGTH {
        return None;
    }
    std::fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kind: ChallengeKind) -> Answer {
        Answer {
            kind,
            name: "a.example".to_owned(),
            token: "token-1_A".to_owned(),
            key_authorization: "token-1_A.thumb".to_owned(),
        }
    }

    #[test]
    fn an_answer_is_given_by_every_process_that_sees_the_folder_until_it_is_taken_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let (ours, theirs) = (Answers::new(folder.path()), Answers::new(folder.path()));

        ours.put(&answer(ChallengeKind::Http01)).expect("put");
        ours.put(&answer(ChallengeKind::TlsAlpn01)).expect("put");
        assert_eq!(theirs.of_token("token-1_A").as_deref(), Some("token-1_A.thumb"));
        assert_eq!(
            theirs.of_name("A.Example").map(|found| found.digest()),
            Some(answer(ChallengeKind::TlsAlpn01).digest())
        );

        theirs.remove(&answer(ChallengeKind::Http01)).expect("removed");
        theirs.remove(&answer(ChallengeKind::Http01)).expect("removing twice is no error");
        assert_eq!(ours.of_token("token-1_A"), None);
    }

    #[test]
    fn an_answer_of_another_order_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let answers = Answers::new(folder.path());
        let other = Answer { key_authorization: "other".to_owned(), ..answer(ChallengeKind::TlsAlpn01) };

        answers.put(&other).expect("put");
        answers.remove(&answer(ChallengeKind::TlsAlpn01)).expect("nothing to do");

        assert!(answers.of_name("a.example").is_some());
    }

    #[test]
    fn h09_what_is_no_token_and_no_name_reads_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("account.json"), "secret").expect("written");
        let answers = Answers::new(folder.path().join("answers"));

        for key in ["../../account.json", "..", "", "a/b", "a\0", "%2e%2e"] {
            assert_eq!(answers.of_token(key), None, "{key:?}");
            assert_eq!(answers.of_name(key), None, "{key:?}");
        }
    }
}
