//! Signing keys are rotated while a thousand calls a second are verified, by two servers that share the public keys.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use vibectl_token::SigningKey;
use vibectl_token::rotation::Ring;
use vibectl_token::standalone::{SignedClaims, sign};

use crate::signing_keys::{command, keys, server_with, status, token};
use crate::support::Server;

const CONFIG: &str = "server: {host: 127.0.0.1, log_level: warning}\njwt: {algorithm: ES256}\n";
const CALLERS: u32 = 8;
/// Between two calls of one caller, where the machine keeps up.
const PACE: Duration = Duration::from_millis(8);
const ROTATIONS: usize = 5;

/// The key that signs, as `generate-token` would choose it at this moment.
fn signer(folder: &Path) -> Option<SigningKey> {
    let ring: Ring = serde_json::from_slice(&fs::read(folder.join("ring.json")).ok()?).ok()?;
    let pem = fs::read_to_string(folder.join(format!("{}.pem", ring.active()?.kid))).ok()?;
    SigningKey::from_pkcs8_pem(&pem).ok()
}

/// A token that no server has seen yet, so that its signature has to be verified.
fn fresh(key: &SigningKey, number: u32, caller: u32) -> String {
    let now = jiff::Timestamp::now().as_second();
    let text = || "vibectl-server".to_owned();
    let jti = format!("{caller}-{number}");
    let claims = SignedClaims {
        iss: text(),
        aud: text(),
        sub: text(),
        iat: now,
        nbf: now,
        exp: now + 600,
        jti,
        cnf: None,
    };
    sign(key, &claims).expect("a token").expose().to_owned()
}

/// A connection that is kept.
struct Kept(BufReader<TcpStream>);

impl Kept {
    fn to(server: &Server) -> Self {
        Self(BufReader::new(server.connect()))
    }

    /// The status of a call with this token.
    fn call(&mut self, token: &str) -> u16 {
        let head =
            format!("GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
        self.0.get_mut().write_all(head.as_bytes()).expect("sent");
        let first = self.line();
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut length = 0;
        loop {
            let line = self.line().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            length =
                line.strip_prefix("content-length: ").map_or(length, |text| text.parse().expect("a number"));
        }
        self.0.read_exact(&mut vec![0; length]).expect("a body");
        status.expect("a status")
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }
}

/// What came of calls that were made while something else was done.
#[derive(Default)]
struct Load {
    calls: u32,
    refused: u32,
}

/// Calls both servers all the time with fresh tokens of the key that signs and, if there is one, an old token.
#[expect(clippy::print_stdout, reason = "the rate that the machine gave is a part of the proof")]
fn load(servers: [&Server; 2], folder: &Path, old: Option<&str>, work: impl FnOnce()) -> Load {
    let stop = AtomicBool::new(false);
    let newest = Mutex::new(Arc::new(signer(folder).expect("a key that signs")));
    let started = Instant::now();
    let load = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                if let Some(key) = signer(folder) {
                    *newest.lock().expect("no panic") = Arc::new(key);
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        let call = |caller: u32| {
            let mut connections = servers.map(Kept::to);
            let mut load = Load::default();
            while !stop.load(Ordering::Relaxed) {
                let key = Arc::clone(&newest.lock().expect("no panic"));
                let token = match old.filter(|_| load.calls % 10 == 9) {
                    Some(old) => old.to_owned(),
                    None => fresh(&key, load.calls, caller),
                };
                let [one, other] = &mut connections;
                let status = if load.calls % 2 == 0 { one } else { other }.call(&token);
                load.refused += u32::from(status != 200);
                load.calls += 1;
                thread::sleep((PACE * load.calls).saturating_sub(started.elapsed()));
            }
            load
        };
        let callers: Vec<_> = (0..CALLERS).map(|caller| scope.spawn(move || call(caller))).collect();
        // Also when it fails: the callers are waited for.
        let worked = catch_unwind(AssertUnwindSafe(work));
        stop.store(true, Ordering::Relaxed);
        if let Err(failure) = worked {
            resume_unwind(failure);
        }
        let loads = callers.into_iter().map(|caller| caller.join().expect("a caller"));
        loads.fold(Load::default(), |all, one| Load {
            calls: all.calls + one.calls,
            refused: all.refused + one.refused,
        })
    });
    let seconds = started.elapsed().as_secs_f64();
    println!("{} calls in {seconds:.1} s, {:.0} a second", load.calls, f64::from(load.calls) / seconds);
    load
}

/// A second server, which has nothing but the public keys.
fn second(folder: &Path) -> Server {
    let config = CONFIG.replace("ES256", &format!("ES256, signing_keys_dir: {}", folder.display()));
    let again = Server::start_in(
        tempfile::tempdir().expect("a folder"),
        &["serve-insecure", "--require-auth"],
        &config,
    );
    again.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));
    again
}

#[test]
fn l01_l02_rotations_under_load_refuse_nobody_and_a_key_that_is_gone_is_refused_everywhere() {
    let server = server_with(CONFIG);
    let folder = keys(&server);
    let again = second(&folder);
    let mut former = vec![(signer(&folder).expect("a key").kid().to_owned(), token(&server, "alice"))];
    let old = former[0].1.clone();

    let rotated = load([&server, &again], &folder, Some(&old), || {
        for _ in 0..ROTATIONS {
            command(&server, &["token", "rotate-key", "--overlap", "1"]);
            former.push((signer(&folder).expect("a key").kid().to_owned(), token(&server, "alice")));
        }
    });
    let (_, newest) = former.pop().expect("the key that signs");
    let revoked = load([&server, &again], &folder, None, || {
        for (kid, _) in &former {
            command(&server, &["token", "rotate-key", "--revoke", kid]);
        }
        for server in [&server, &again] {
            for (kid, token) in &former {
                server.wait_for(kid, |server| status(server, token) == 401);
            }
            assert_eq!(status(server, &newest), 200);
        }
    });

    assert_eq!((rotated.refused, revoked.refused), (0, 0));
    assert!(rotated.calls > 100, "{}", rotated.calls);
    assert_eq!(former.len(), ROTATIONS);
}
