//! A program that makes and removes records: run without a shell, with a time limit, its output kept out of the log.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;
use vibectl_config::DnsHook;
use vibectl_pki::acme::Answer;

/// Names of the variables that tell the program what to do.
pub const ACTION: &str = "ACME_DNS_ACTION";
/// The full name of the record.
pub const NAME: &str = "ACME_DNS_NAME";
/// The text of the record.
pub const VALUE: &str = "ACME_DNS_VALUE";

/// Why the program did not do it. Its output is not quoted: such programs print credentials.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It cannot be run.
    #[error("failed to run {program} (acme.dns.exec.command)")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It said no.
    #[error("{program} ended with {status} (acme.dns.exec.command); run it by hand to see what it says")]
    Failed {
        /// The program.
        program: String,
        /// Its exit status.
        status: std::process::ExitStatus,
    },
    /// It took too long and was killed.
    #[error("{program} did not end within {} s (acme.dns.exec.timeout_seconds)", .limit.as_secs())]
    Slow {
        /// The program.
        program: String,
        /// How long it had.
        limit: Duration,
    },
}

/// The program.
#[derive(Debug)]
pub struct Hook {
    program: String,
    arguments: Vec<String>,
    limit: Duration,
}

impl Hook {
    /// The program of the config; the config has at least one word.
    pub fn new(config: &DnsHook) -> Self {
        let mut words = config.command.iter().cloned();
        let limit = Duration::from_secs(config.timeout_seconds.into());
        Self { program: words.next().unwrap_or_default(), arguments: words.collect(), limit }
    }

    /// Runs it to its end.
    pub async fn run(&self, action: &str, answer: &Answer) -> Result<(), HookError> {
        let program = self.program.clone();
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env(ACTION, action)
            .env(NAME, answer.record_name())
            .env(VALUE, answer.record_value())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        // What is set for the server, its secrets among it, is none of this program's business.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("VIBECTL_"))
        {
            command.env_remove(name);
        }
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(source) => return Err(HookError::Start { program, source }),
        };
        match timeout(self.limit, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(HookError::Failed { program, status }),
            Ok(Err(source)) => Err(HookError::Start { program, source }),
            Err(_) => Err(HookError::Slow { program, limit: self.limit }),
        }
    }
}

#[cfg(test)]
mod tests {
    use vibectl_pki::acme::ChallengeKind;

    use super::*;

    fn answer() -> Answer {
        let (name, token) = ("a.example".to_owned(), "t".to_owned());
        Answer { kind: ChallengeKind::Dns01, name, token, key_authorization: "t.thumb".to_owned() }
    }

    fn hook(command: &[&str], timeout_seconds: u32) -> Hook {
        Hook::new(&DnsHook {
            command: command.iter().map(|&word| word.to_owned()).collect(),
            timeout_seconds,
        })
    }

    #[tokio::test]
    async fn h10_the_program_is_told_what_to_do_by_variables_and_gets_its_arguments_untouched() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("out");
        let script =
            format!("printf '%s|' \"$1\" \"${ACTION}\" \"${NAME}\" \"${VALUE}\" > {}", out.display());

        hook(&["/bin/sh", "-c", &script, "sh", "$(id); x"], 10).run("present", &answer()).await.expect("ran");

        let expected = format!("$(id); x|present|_acme-challenge.a.example|{}|", answer().record_value());
        assert_eq!(std::fs::read_to_string(out).expect("written"), expected);
    }

    #[tokio::test]
    async fn h10_a_program_that_fails_hangs_or_is_not_there_is_told_without_its_output() {
        let failed = hook(&["/bin/sh", "-c", "echo hunter2; exit 3"], 10).run("present", &answer()).await;
        let slow = hook(&["/bin/sleep", "600"], 1).run("present", &answer()).await;
        let missing = hook(&["/does/not/exist"], 1).run("present", &answer()).await;

        let text = failed.expect_err("it failed").to_string();
        assert!(text.contains("exit status: 3") && !text.contains("hunter2"), "{text}");
        assert!(matches!(slow, Err(HookError::Slow { .. })));
        assert!(matches!(missing, Err(HookError::Start { .. })));
    }
}
