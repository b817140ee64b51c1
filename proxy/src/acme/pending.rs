//! The answers to pending challenges, wherever they come from: our own engine's files, or a file that somebody else writes
//! (the operator, for all pods at once).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use vibectl_config::mount::ANSWERS_FILE;
use vibectl_pki::acme::{Answer, ChallengeKind};

use crate::acme::answers::{Answers, dns_name};

/// The most answers that are taken: a certificate has at most a hundred names.
const MAX_ANSWERS: usize = 100;
/// The longest key authorization; real ones have 87 characters.
const MAX_LENGTH: usize = 512;

/// Where the listener and the handshake look.
#[derive(Clone, Debug)]
pub enum Pending {
    /// Into the folder of our own engine.
    Folder(Answers),
    /// Into what was read last from somebody else's file.
    Mounted(Mounted),
}

/// The content of somebody else's file, put in force as one.
#[derive(Clone, Debug, Default)]
pub struct Mounted(Arc<ArcSwap<Vec<Answer>>>);

impl Pending {
    /// The answer to the HTTP-01 challenge with this token.
    pub fn of_token(&self, token: &str) -> Option<String> {
        match self {
            Self::Folder(folder) => folder.of_token(token),
            Self::Mounted(mounted) => {
                let is_it = |answer: &Answer| answer.kind == ChallengeKind::Http01 && answer.token == token;
                mounted.find(is_it).map(|answer| answer.key_authorization)
            }
        }
    }

    /// The answer to the TLS-ALPN-01 challenge of this name.
    pub fn of_name(&self, name: &str) -> Option<Answer> {
        match self {
            Self::Folder(folder) => folder.of_name(name),
            Self::Mounted(mounted) => {
                let name = dns_name(name)?;
                mounted.find(|answer| answer.kind == ChallengeKind::TlsAlpn01 && answer.name == name)
            }
        }
    }
}

impl Mounted {
    /// Puts the content of the part in force, or says what is wrong with it and keeps what was.
    pub fn take(&self, files: &BTreeMap<String, Vec<u8>>, path: &Path) -> Result<(), String> {
        let content = files.get(ANSWERS_FILE).ok_or_else(|| format!("{}: no such file", path.display()))?;
        let answers: Vec<Answer> =
            serde_json::from_slice(content).map_err(|error| format!("{}: {error}", path.display()))?;
        if answers.len() > MAX_ANSWERS {
            return Err(format!("{}: more than {MAX_ANSWERS} answers", path.display()));
        }
        if let Some(bad) = answers.iter().find(|answer| !is_sound(answer)) {
            return Err(format!("{}: the answer for {:?} is none", path.display(), bad.name));
        }
        self.0.store(Arc::new(answers));
        Ok(())
    }

    fn find(&self, is_it: impl Fn(&Answer) -> bool) -> Option<Answer> {
        self.0.load().iter().find(|answer| is_it(answer)).cloned()
    }
}

fn is_sound(answer: &Answer) -> bool {
    Answer::is_token(&answer.token)
        && dns_name(&answer.name).as_ref() == Some(&answer.name)
        && (1..=MAX_LENGTH).contains(&answer.key_authorization.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(text: &str) -> BTreeMap<String, Vec<u8>> {
        BTreeMap::from([(ANSWERS_FILE.to_owned(), text.as_bytes().to_vec())])
    }

    fn take(mounted: &Mounted, text: &str) -> Result<(), String> {
        mounted.take(&files(text), Path::new("/acme/answers.json"))
    }

    const HTTP: &str =
        r#"{"kind": "http-01", "name": "a.example", "token": "t-1_A", "key_authorization": "t-1_A.thumb"}"#;
    const ALPN: &str =
        r#"{"kind": "tls-alpn-01", "name": "a.example", "token": "t-2", "key_authorization": "t-2.thumb"}"#;

    #[test]
    fn an_answer_is_given_for_its_kind_alone_until_the_file_is_without_it() {
        let mounted = Mounted::default();
        let pending = Pending::Mounted(mounted.clone());

        take(&mounted, &format!("[{HTTP}, {ALPN}]")).expect("taken");
        assert_eq!(pending.of_token("t-1_A").as_deref(), Some("t-1_A.thumb"));
        assert_eq!(
            pending.of_name("A.example").map(|answer| answer.key_authorization).as_deref(),
            Some("t-2.thumb")
        );
        assert_eq!((pending.of_token("t-2"), pending.of_name("b.example")), (None, None));

        take(&mounted, "[]").expect("taken");
        assert_eq!((pending.of_token("t-1_A"), pending.of_name("a.example")), (None, None));
    }

    #[test]
    fn h09_a_file_that_is_not_good_is_refused_whole_and_the_answers_before_it_stay() {
        let mounted = Mounted::default();
        take(&mounted, &format!("[{HTTP}]")).expect("taken");

        for bad in [
            String::new(),
            "{}".to_owned(),
            format!("[{}]", vec![HTTP; 101].join(",")),
            HTTP.replace("t-1_A\"", "../x\""),
            format!("[{}]", HTTP.replace("\"t-1_A\"", "\"../x\"")),
            format!("[{}]", ALPN.replace("a.example", "*.example")),
            format!("[{}]", ALPN.replace("t-2.thumb", &"x".repeat(513))),
        ] {
            let error = take(&mounted, &bad).expect_err(&bad);
            assert!(error.starts_with("/acme/answers.json: "), "{error}");
        }
        assert!(Pending::Mounted(mounted).of_token("t-1_A").is_some());
    }
}
