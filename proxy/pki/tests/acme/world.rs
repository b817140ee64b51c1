//! Everything around the engine, in memory, and the death of the process at any of its steps.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use vibectl_pki::Names;
use vibectl_pki::acme::state::{Certificate, History};
use vibectl_pki::acme::{
    Answer, ChallengeKind, Engine, Host, Publisher, Record, Session, Settings, Step, Store, StoreError,
};
use zeroize::Zeroizing;

use super::server::Server;

/// The state of the world. Engines come and go.
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) records: BTreeMap<Record, Vec<u8>>,
    pub(crate) published: BTreeSet<String>,
    pub(crate) server: Server,
    /// What the process did to the outside so far: writes, requests, publications.
    pub(crate) acts: usize,
    /// The process dies at this act: before it takes effect, or after.
    pub(crate) dies_at: Option<(usize, bool)>,
    pub(crate) dead: bool,
    pub(crate) opened_elsewhere: bool,
}

/// A handle of the world; the parts of the engine share it.
#[derive(Clone)]
pub(crate) struct Handle(Arc<Mutex<World>>);

/// What an act of a process that may die has to do.
pub(crate) enum Fate {
    Act,
    ActAndDie,
    Dead,
}

impl Handle {
    pub(crate) fn new() -> Self {
        let now = "2026-06-01T00:00:00Z".parse().expect("a time");
        Self(Arc::new(Mutex::new(World {
            now,
            records: BTreeMap::new(),
            published: BTreeSet::new(),
            server: Server::new(),
            acts: 0,
            dies_at: None,
            dead: false,
            opened_elsewhere: false,
        })))
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("no panic")
    }

    /// Counts an act and tells what becomes of it.
    pub(crate) fn act(&self) -> Fate {
        let mut world = self.world();
        if world.dead {
            return Fate::Dead;
        }
        world.acts += 1;
        match world.dies_at {
            Some((act, effective)) if act == world.acts => {
                world.dead = true;
                if effective { Fate::ActAndDie } else { Fate::Dead }
            }
            _ => Fate::Act,
        }
    }

    pub(crate) fn settings(names: &[&str]) -> Settings {
        Settings {
            directory_url: "https://ca.example/dir".to_owned(),
            contact: Some("a@b.example".to_owned()),
            terms_agreed: true,
            external_account: None,
            names: Names::parse(names).expect("names"),
            challenge: ChallengeKind::Http01,
            auto_renew: true,
        }
    }

    pub(crate) fn engine(&self, settings: Settings) -> Engine<Self, Self, Self> {
        let http = Arc::new(self.clone());
        Engine::new(settings, http, self.clone(), self.clone(), self.clone()).expect("good settings")
    }

    /// One step of a new process.
    pub(crate) async fn step(&self) -> Step {
        self.engine(Self::settings(&["a.example"])).step().await.expect("a store")
    }

    pub(crate) fn pass(&self, time: Duration) {
        let mut world = self.world();
        world.now += time;
    }

    pub(crate) fn history(&self) -> History {
        let bytes = self.world().records.get(&Record::History).cloned().unwrap_or_else(|| b"{}".to_vec());
        serde_json::from_slice(&bytes).expect("JSON")
    }

    pub(crate) fn certificate(&self) -> Option<Certificate> {
        let bytes = self.world().records.get(&Record::Certificate).cloned();
        bytes.map(|bytes| serde_json::from_slice(&bytes).expect("JSON"))
    }
}

impl Host for Handle {
    fn now(&self) -> Timestamp {
        self.world().now
    }

    async fn sleep(&self, time: Duration) {
        self.pass(time);
    }

    fn random(&self) -> u16 {
        0
    }
}

impl Publisher for Handle {
    type Error = Infallible;

    async fn publish(&self, answer: &Answer) -> Result<(), Infallible> {
        if !matches!(self.act(), Fate::Dead) {
            self.world().published.insert(answer.key_authorization.clone());
        }
        Ok(())
    }

    async fn withdraw(&self, answer: &Answer) -> Result<(), Infallible> {
        if !matches!(self.act(), Fate::Dead) {
            self.world().published.remove(&answer.key_authorization);
        }
        Ok(())
    }
}

impl Store for Handle {
    type Session = Self;

    async fn open(&self) -> Result<Option<Self>, StoreError> {
        Ok((!self.world().opened_elsewhere).then(|| self.clone()))
    }

    async fn read(&self, record: Record) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let world = self.world();
        if world.dead {
            return Err(StoreError("dead".into()));
        }
        Ok(world.records.get(&record).cloned().map(Zeroizing::new))
    }
}

impl Session for Handle {
    async fn write(&mut self, record: Record, content: Option<&[u8]>) -> Result<(), StoreError> {
        let fate = self.act();
        if !matches!(fate, Fate::Dead) {
            let mut world = self.world();
            match content {
                Some(content) => world.records.insert(record, content.to_vec()),
                None => world.records.remove(&record),
            };
        }
        if matches!(fate, Fate::Act) { Ok(()) } else { Err(StoreError("dead".into())) }
    }
}
