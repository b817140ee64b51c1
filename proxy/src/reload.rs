//! Puts files in force: at the start, and whenever they change while the server runs.
//!
//! Each part is read whole, checked whole and swapped in at once. What cannot be used changes nothing: the last good
//! content stays in force, and log, metric and fleet report say why.

pub mod files;
pub mod immovable;
pub mod places;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use vibectl_config::mount::{Part, RevisionKey};
use vibectl_config::{Config, Notice, Tls};

use crate::acme::alpn;
use crate::certificate_events::Event;
use crate::parts::{Files, Parts};
use crate::provider::sources::Sources;
use crate::reload::files::{Fingerprint, PartFiles, ReadError};
use crate::settings::mode::Chosen;
use crate::settings::{Loaded, Mistakes, Settings};
use crate::state::{Active, Shared, unix_now};
use crate::telemetry::Level;
use crate::tls::clients::ClientTrust;
use crate::tls::{TlsState, read_pair};

/// How often the files are looked at; the operator counts on a change being in force within half a second.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Watches the files of all parts.
#[derive(Debug)]
pub struct Reloader {
    shared: Arc<Shared>,
    settings: Settings,
    level: Level,
    watched: Vec<Watched>,
}

/// Content of a part that was not put in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {reason}")]
pub struct Rejected {
    /// Whose content.
    pub part: Part,
    /// Why.
    pub reason: String,
}

/// What a start yields.
#[derive(Debug)]
pub struct Started {
    /// The state of the process, with the config in force.
    pub shared: Arc<Shared>,
    /// Puts everything else in force, and later changes.
    pub reloader: Reloader,
    /// What the config's owner should know about it.
    pub notices: Vec<Notice>,
    /// How it is served, where the command serves.
    pub chosen: Option<Chosen>,
}

impl Reloader {
    /// Puts the config in force. All other parts come with the first [`Self::look`].
    pub fn start(
        settings: Settings,
        level: impl FnOnce(&Config) -> Level,
        key: impl FnOnce(&Config) -> Result<Option<RevisionKey>, Mistakes>,
    ) -> Result<Started, Mistakes> {
        let config_files = settings.files();
        let (seen, files) = config_files.read().map_err(|error| Mistakes(vec![error.to_string()]))?;
        let Loaded { config, notices, chosen } = settings.interpret(&files)?;
        let config = Arc::new(config);
        let level = level(&config);
        let parts = Parts::new(key(&config)?);
        parts.in_force(Part::Config, &files);
        let shared = Arc::new(Shared::new(active(None, &config, &Files::new()), parts));
        if config.acme.answers_file.is_some() {
            let place = alpn::without_certificate().map_err(|error| Mistakes(vec![error.to_string()]))?;
            // Nobody else sets it.
            let _ = shared.open_place.set(Arc::new(ArcSwap::new(place)));
        }
        let mut watched = vec![
            Watched { part: Part::Config, files: config_files, seen: Some(seen) },
            Watched::new(Part::ClientCa, places::client_ca(&config.tls)),
            Watched::new(Part::Tls, places::tls(&config.tls)),
            Watched::new(Part::Providers, places::providers(&config.providers)),
            Watched::new(Part::Acme, places::answers(&config.acme)),
        ];
        watched.push(Watched::new(Part::Access, access_files(&config, &settings)));
        let reloader = Self { shared: Arc::clone(&shared), settings, level, watched };
        Ok(Started { shared, reloader, notices, chosen })
    }

    /// Looks at all files once and puts in force what has changed. Returns what was refused now.
    pub fn look(&mut self) -> Vec<Rejected> {
        let changed: Vec<_> = self.watched.iter_mut().filter_map(Watched::changed).collect();
        let mut rejected = Vec::new();
        for (part, read) in changed {
            let outcome = match read {
                Ok(files) => self.apply(part, files),
                Err(error) => Outcome::refused(error.to_string()),
            };
            self.note(part, &outcome);
            rejected.extend(outcome.problem.map(|reason| Rejected { part, reason }));
        }
        rejected
    }

    /// Looks until told to stop.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), JoinError> {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            self = spawn_blocking(move || {
                self.look();
                self
            })
            .await?;
        }
    }

    fn apply(&mut self, part: Part, files: Files) -> Outcome {
        match part {
            Part::Config => Outcome::whole(self.apply_config(&files), files),
            Part::Access => self.apply_access(&files),
            Part::Tls => Outcome::whole(self.apply_tls(&files), files),
            Part::ClientCa => Outcome::whole(self.apply_client_ca(&files), files),
            Part::Acme => Outcome::whole(self.apply_answers(&files), files),
            Part::Providers => {
                self.swap(active(Some(&self.shared), &self.shared.config(), &files));
                Outcome::whole(Ok(()), files)
            }
        }
    }

    /// The only part that can be in force by halves: a file or a row that cannot be read costs only itself.
    fn apply_access(&mut self, files: &Files) -> Outcome {
        let config = self.shared.config();
        let accepted = match &config.access {
            Some(access) => self.shared.auth.require_row(access, files),
            None => self.shared.auth.follow(&config.jwt, files, unix_now()),
        };
        self.shared.parts.rejected_rows(accepted.rejected_rows);
        let problem = (!accepted.problems.is_empty()).then(|| accepted.problems.join("; "));
        Outcome { in_force: Some(accepted.in_force), problem }
    }

    fn apply_config(&mut self, files: &Files) -> Result<(), String> {
        let loaded = self.settings.interpret(files).map_err(|mistakes| mistakes.to_string())?;
        let config = Arc::new(loaded.config);
        immovable::check(&self.shared.config(), &config)?;
        let mut providers = Watched::new(Part::Providers, places::providers(&config.providers));
        let (seen, provider_files) = providers.files.read().map_err(|error| error.to_string())?;
        providers.seen = Some(seen);
        self.swap(active(Some(&self.shared), &config, &provider_files));
        self.shared.parts.in_force(Part::Providers, &provider_files);
        self.level.set(config.server.log_level);
        self.watched.retain(|watched| watched.part != Part::Providers);
        self.watched.push(providers);
        Ok(())
    }

    /// A provider that cannot be called costs its own calls only.
    fn swap(&self, active: Active) {
        for provider in active.router.providers() {
            if let Some(reason) = provider.off_reason() {
                tracing::warn!(provider = provider.name(), reason, "provider is off");
            }
        }
        self.shared.active.store(Arc::new(active));
    }

    /// The first certificate opens the port; further ones replace it.
    fn apply_tls(&mut self, files: &Files) -> Result<(), String> {
        if let Some(state) = self.shared.tls.get() {
            let reloaded = state.reload(files, Timestamp::now());
            self.shared.tell(match &reloaded {
                Ok(()) => Event::Renewed { certificate: state.facts().as_ref().into() },
                Err(reason) => Event::Failed { reason: reason.clone() },
            });
            return reloaded;
        }
        let tls = &self.shared.config().tls;
        let named = places::tls(tls);
        if named.is_empty() {
            return Ok(());
        }
        if let Some(path) = named.absent(files) {
            return Err(format!("{}: no such file", path.display()));
        }
        let leaf = read_pair(files, Timestamp::now()).map_err(|error| error.to_string())?;
        let state = client_trust(tls, Timestamp::now()).and_then(|clients| {
            let state = match self.shared.open_place.get() {
                Some(place) => TlsState::in_place_of(Arc::clone(place), &leaf, clients, tls.min_version),
                None => TlsState::new(&leaf, clients, tls.min_version),
            };
            state.map_err(|error| error.to_string())
        });
        let state = state?;
        // Nobody else sets it for a config that names files.
        let _ = self.shared.tls.set(Arc::new(state));
        Ok(())
    }

    fn apply_answers(&self, files: &Files) -> Result<(), String> {
        let config = self.shared.config();
        let path = config.acme.answers_file.as_deref();
        path.map_or(Ok(()), |path| self.shared.answers.take(files, path))
    }

    /// Before the first certificate there is nothing to change: [`Self::apply_tls`] reads the CA itself.
    fn apply_client_ca(&mut self, files: &Files) -> Result<(), String> {
        let (tls, now) = (&self.shared.config().tls, Timestamp::now());
        if tls.ca_bundle_file.is_none() {
            return Ok(());
        }
        if let Some(path) = places::client_ca(tls).absent(files) {
            return Err(format!("{}: no such file", path.display()));
        }
        match self.shared.tls.get() {
            Some(state) => {
                let serials = state.reload_clients(files, now)?;
                if !serials.is_empty() {
                    tracing::info!(serials = serials.join(","), "certificates of callers are revoked");
                    self.shared.tell(Event::Revoked { serials });
                }
                Ok(())
            }
            None => ClientTrust::read(files, tls.client_crl_file.is_some(), now)
                .map(drop)
                .map_err(|error| error.to_string()),
        }
    }

    fn note(&self, part: Part, outcome: &Outcome) {
        let Self { shared, .. } = self;
        if let Some(files) = &outcome.in_force {
            shared.parts.in_force(part, files);
            if part == Part::Access {
                shared.auth.caught_up(&shared.parts.revision(part));
            }
        }
        if let Some(reason) = &outcome.problem {
            shared.parts.rejected(part, reason);
            tracing::error!(
                part = part.as_str(),
                reason,
                "refused new content; the last good one, if there is any, stays in force"
            );
        } else {
            tracing::info!(part = part.as_str(), "put new content in force");
        }
        // After the log: who sees the counter finds the reason there.
        let label = if outcome.problem.is_some() { "rejected" } else { "applied" };
        shared.metrics.reloads.with([part.as_str(), label]).add(1);
        shared.metrics.part_rejected.with([part.as_str()]).set(outcome.problem.is_some().into());
    }
}

/// What became of new content.
#[derive(Debug, Default)]
struct Outcome {
    in_force: Option<Files>,
    problem: Option<String>,
}

impl Outcome {
    fn whole(applied: Result<(), String>, files: Files) -> Self {
        match applied {
            Ok(()) => Self { in_force: Some(files), problem: None },
            Err(problem) => Self::refused(problem),
        }
    }

    fn refused(problem: String) -> Self {
        Self { in_force: None, problem: Some(problem) }
    }
}

/// What says who may call: the mounted table, or what a server that runs alone has in its folder.
fn access_files(config: &Config, settings: &Settings) -> PartFiles {
    let alone = || places::access_alone(&config.jwt, settings.folder.as_deref());
    config.access.as_ref().map_or_else(alone, places::access)
}

/// Whose certificates the config wants of callers, if anybody's.
pub fn client_trust(tls: &Tls, now: Timestamp) -> Result<Option<ClientTrust>, String> {
    let named = places::client_ca(tls);
    if named.is_empty() {
        return Ok(None);
    }
    let (_, files) = named.read().map_err(|error| error.to_string())?;
    if let Some(path) = named.absent(&files) {
        return Err(format!("{}: no such file", path.display()));
    }
    let trust = ClientTrust::read(&files, tls.client_crl_file.is_some(), now);
    trust.map(Some).map_err(|error| error.to_string())
}

/// What follows from this config and these files of providers; `before` has what is in force now, if anything is.
fn active(before: Option<&Shared>, config: &Arc<Config>, provider_files: &Files) -> Active {
    let file = |path: &Path| {
        let content = provider_files.get(&places::provider_file(path)).cloned();
        content.ok_or_else(|| io::ErrorKind::NotFound.into())
    };
    let sources = Sources { file: &file, ..Sources::of_process() };
    match before {
        Some(shared) => shared.active.load().following(Arc::clone(config), &sources),
        None => Active::new(Arc::clone(config), &sources),
    }
}

/// The files of a part and their last known state.
#[derive(Debug)]
struct Watched {
    part: Part,
    files: PartFiles,
    seen: Option<Fingerprint>,
}

impl Watched {
    /// Files that were not read yet.
    fn new(part: Part, files: PartFiles) -> Self {
        Self { part, files, seen: None }
    }

    /// The content, if it is not the one seen last. A part without files has nothing to change.
    fn changed(&mut self) -> Option<(Part, Result<Files, ReadError>)> {
        let current = self.files.fingerprint();
        if self.files.is_empty() || self.seen.as_ref() == Some(&current) {
            return None;
        }
        // At the start there is nothing in force that could stay meanwhile.
        if self.seen.is_some() && !current.is_settled(SystemTime::now()) {
            return None;
        }
        match self.files.read() {
            Ok((seen, files)) => {
                self.seen = Some(seen);
                Some((self.part, Ok(files)))
            }
            // Read again at the next look.
            Err(ReadError::Unsettled) => None,
            Err(error) => {
                self.seen = Some(current);
                Some((self.part, Err(error)))
            }
        }
    }
}
