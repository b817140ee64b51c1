//! The end of the process: the signal, and who has to know of it.
//!
//! Order: readiness false, health `NOT_SERVING`, no new connections, GOAWAY to the open ones, running calls finish until
//! the deadline, the rest is cut; the admin and fleet ports answer until that is done.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The stages of the end; each is reached once and never left.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    cut: CancellationToken,
    gone: CancellationToken,
    reported: CancellationToken,
}

impl Shutdown {
    /// Starts to drain: nothing new is accepted, what runs may finish.
    pub fn start_draining(&self) {
        self.drain.cancel();
    }

    /// Cuts what still runs.
    pub fn cut(&self) {
        self.cut.cancel();
    }

    /// The service has ended; the ports that tell about it may, too.
    pub fn close_everything(&self) {
        self.gone.cancel();
    }

    /// Notes that the operator was told that the last call has ended.
    pub fn reported_the_end(&self) {
        self.reported.cancel();
    }

    /// Completes when the operator knows everything that there is to know.
    pub async fn farewell(&self) {
        self.reported.cancelled().await;
    }

    /// True from the start of the drain.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Stages for the service port.
    pub fn of_service(&self) -> Stages {
        Stages { drain: self.drain.clone(), cut: self.cut.clone() }
    }

    /// Stages for the ports that report until the service has ended. An answer that is on its way gets there: nothing
    /// cuts these ports but the end of the process, which waits a moment for them.
    pub fn of_reports(&self) -> Stages {
        Stages { drain: self.gone.clone(), cut: CancellationToken::new() }
    }
}

/// What one listener has to obey.
#[derive(Clone, Debug)]
pub struct Stages {
    /// From here on nothing new is accepted.
    pub drain: CancellationToken,
    /// From here on nothing runs.
    pub cut: CancellationToken,
}

/// The signals that mean something to the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Listens from now on. Call it early: signals before that end the process the hard way.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Completes when the process is asked to end; asked once more, with the next signal. SIGHUP, which other servers take
    /// for an order to read their files, does nothing: files are followed anyway.
    pub async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => tracing::info!("nothing to do on SIGHUP: files are followed"),
            }
        }
    }
}
