//! Tasks with an owner. Every one is critical: none ends by itself while the process is well, and one that does, ends
//! the process (linkerd/linkerd2#15506 tells what happens otherwise).

use std::{future::Future, time::Duration};

use tokio::{task::JoinSet, time::timeout};

/// Some tasks that are watched together.
#[derive(Default)]
pub struct Tasks {
    set: JoinSet<&'static str>,
}

impl Tasks {
    /// Starts a task. Dropping `Tasks` aborts it.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.set.spawn(async move {
            task.await;
            name
        });
    }

    /// Waits until one ends, and tells which.
    pub async fn ended(&mut self) -> String {
        match self.set.join_next().await {
            Some(Ok(name)) => name.to_owned(),
            Some(Err(error)) => format!("a task that failed ({error})"),
            None => std::future::pending().await,
        }
    }

    /// Waits until all have ended, at most so long; true when they have.
    pub async fn drain(&mut self, patience: Duration) -> bool {
        let all = async { while self.set.join_next().await.is_some() {} };
        timeout(patience, all).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_or_panics_is_told() {
        let mut tasks = Tasks::default();
        tasks.spawn("endless", std::future::pending());
        tasks.spawn("short", async {});
        assert_eq!(tasks.ended().await, "short");

        tasks.spawn("broken", async { panic!("on purpose") });
        assert!(tasks.ended().await.contains("failed"));
        assert!(!tasks.drain(Duration::from_millis(10)).await, "the endless one is still there");
    }
}
