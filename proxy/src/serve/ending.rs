//! How the process ends: in order, and in bounded time whatever peers do.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use crate::cli::outcome::Failure;
use crate::shutdown::Signals;
use crate::state::Shared;

/// Longest wait for the operator to ask once more after the last call has ended, so that its usage is not lost. Part of
/// the grace period, not added to it.
const FAREWELL: Duration = Duration::from_secs(5);
/// For tasks that were told to end and have nothing to wait for.
const LAST_TASKS: Duration = Duration::from_millis(300);

/// Drains the service, then closes the ports that report about it. Another signal shortens it all to nothing.
pub(super) async fn drain(
    shared: &Arc<Shared>,
    mut service: JoinHandle<()>,
    reports: JoinSet<()>,
    signals: &mut Signals,
) {
    let grace = Duration::from_secs(shared.config().server.shutdown_grace_seconds.into());
    let deadline = Instant::now() + grace;
    shared.shutdown.start_draining();
    shared.health.clone().draining().await;
    let because = tokio::select! {
        _ = &mut service => None,
        () = sleep_until(deadline) => Some("the end of the grace period"),
        again = signals.next() => Some(again),
    };
    match because {
        None => tracing::info!("all calls ended"),
        Some(because) => {
            let (calls, streams) = (shared.limiter.calls_in_flight(), shared.limiter.open_streams());
            tracing::warn!(calls, streams, because, "cut what still ran");
            shared.shutdown.cut();
            let _ = timeout(LAST_TASKS, service).await;
        }
    }
    if shared.config().fleet.is_some() {
        let farewell = deadline.min(Instant::now() + FAREWELL);
        tokio::select! {
            () = shared.shutdown.farewell() => {}
            () = sleep_until(farewell) => {}
            _ = signals.next() => {}
        }
    }
    close(shared, reports).await;
}

/// Ends a process that never took a call.
pub(super) async fn before_the_start(
    shared: &Arc<Shared>,
    reports: JoinSet<()>,
    signal: &'static str,
) -> Result<(), Failure> {
    tracing::info!(signal, "ended before the service port was open");
    shared.shutdown.start_draining();
    close(shared, reports).await;
    Ok(())
}

/// None of these tasks ends by itself, so the first that does is a fault, and the process must not go on without it.
pub(super) async fn first_of(
    tasks: &mut JoinSet<anyhow::Result<()>>,
    reports: &mut JoinSet<()>,
) -> anyhow::Error {
    tokio::select! {
        Some(ended) = tasks.join_next() => match ended {
            Ok(Ok(())) => anyhow!("a task that must not end has ended"),
            Ok(Err(error)) => error,
            Err(error) => error.into(),
        },
        Some(ended) = reports.join_next() => match ended {
            Ok(()) => anyhow!("a port was closed"),
            Err(error) => error.into(),
        },
        else => std::future::pending().await,
    }
}

async fn close(shared: &Arc<Shared>, mut reports: JoinSet<()>) {
    shared.shutdown.close_everything();
    let _ = timeout(LAST_TASKS, async { while reports.join_next().await.is_some() {} }).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    type Task = anyhow::Result<()>;

    /// Why the process ends, with one more task that goes on.
    async fn reason(
        task: impl Future<Output = Task> + Send + 'static,
        port: impl Future<Output = ()> + Send + 'static,
    ) -> String {
        let (mut tasks, mut reports) = (JoinSet::new(), JoinSet::new());
        tasks.spawn(std::future::pending());
        tasks.spawn(task);
        reports.spawn(port);
        format!("{:#}", first_of(&mut tasks, &mut reports).await)
    }

    #[tokio::test]
    async fn k05_a_task_that_ends_fails_or_panics_and_a_port_that_closes_end_the_process() {
        let on = std::future::pending;

        assert_eq!(reason(async { Ok(()) }, on()).await, "a task that must not end has ended");
        assert_eq!(reason(async { Err(anyhow!("the disk is gone")) }, on()).await, "the disk is gone");
        assert!(reason(async { panic!("bug") }, on()).await.contains("panicked"));
        assert_eq!(reason(std::future::pending(), async {}).await, "a port was closed");
    }
}
