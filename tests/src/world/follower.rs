//! A client that follows its Secret: address, token and CA are taken up whenever they change, as from a mounted Secret.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use reqwest::StatusCode;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{Caller, Credential, PACE, World};

/// Knows the newest content of one Secret.
#[derive(Clone)]
pub struct Follower {
    newest: watch::Receiver<Credential>,
    _task: Arc<Aborted>,
}

struct Aborted(JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Follower {
    /// Follows the Secret of this name.
    ///
    /// # Errors
    /// When it cannot be read now.
    pub async fn of(world: &World, secret: &str) -> Result<Self> {
        let secrets: Api<Secret> = world.api();
        let first = Credential::from_secret(&secrets.get(secret).await?)?;
        let (told, newest) = watch::channel(first);
        let config = watcher::Config::default().fields(&format!("metadata.name={secret}"));
        let task = tokio::spawn(async move {
            let mut changes = std::pin::pin!(watcher(secrets, config).default_backoff().applied_objects());
            while let Some(change) = changes.next().await {
                if let Ok(credential) =
                    change.map_err(anyhow::Error::from).and_then(|it| Credential::from_secret(&it))
                {
                    told.send_replace(credential);
                }
            }
        });
        Ok(Self { newest, _task: Arc::new(Aborted(task)) })
    }

    /// What the Secret holds now.
    pub fn credential(&self) -> Credential {
        self.newest.borrow().clone()
    }

    /// Calls this address in a loop, each call with a handshake of its own and with the newest content; the first failure ends it.
    pub fn call(&self, address: IpAddr, port: u16) -> Following {
        let (stop, mut newest) = (Arc::new(AtomicBool::new(false)), self.newest.clone());
        let (stopped, kept) = (Arc::clone(&stop), self.clone());
        let task = tokio::spawn(async move {
            let _kept = kept;
            let mut calls = 0;
            let mut caller = Caller::afresh(&newest.borrow_and_update().clone(), address, port)?;
            while !stopped.load(Ordering::Relaxed) {
                if newest.has_changed()? {
                    caller = Caller::afresh(&newest.borrow_and_update().clone(), address, port)?;
                }
                let answer = caller.chat("echo", "hello").await.with_context(|| failed(calls))?;
                ensure!(answer.status == StatusCode::OK, "{}: {answer:?}", failed(calls));
                calls += 1;
                sleep(PACE).await;
            }
            Ok(calls)
        });
        Following { stop, task }
    }
}

/// Which call, and when: the loop ends long before anybody looks, and the logs of the cluster tell what happened then.
fn failed(call: usize) -> String {
    format!("call {call} at {}", Timestamp::now())
}

/// Calls that go on until they are finished.
pub struct Following {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<usize>>,
}

impl Following {
    /// How many calls there were, none of which failed.
    ///
    /// # Errors
    /// The first failure.
    pub async fn finish(self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}
