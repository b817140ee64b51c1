//! From whoever logs to standard error, by a thread of its own: nobody who answers calls waits for whoever reads the log.
//!
//! What is not written yet is bounded ([`MOST_BYTES`]). A line that does not fit, and one that cannot be written (a full
//! disk, a reader that is gone), is dropped and counted; the log says so when it can again. Calls go on: a log that stops
//! must not stop the service.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// All lines together that wait to be written.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// What is written at once, when so much waits.
const BATCH: usize = 64 * 1024;
/// How long a line waits for others, so that a busy server writes and wakes this thread a few hundred times a second, not for every call.
const GATHER: Duration = Duration::from_millis(5);

/// Takes whole lines.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    sender: Sender<Vec<u8>>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    most: usize,
    /// Bytes that were taken and not written or dropped yet.
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

impl Lines {
    /// Writes to this from now on.
    pub(super) fn to(output: impl Write + Send + 'static) -> Self {
        Self::bounded(output, MOST_BYTES)
    }

    fn bounded(output: impl Write + Send + 'static, most: usize) -> Self {
        let (sender, lines) = channel();
        let state = Arc::new(State { most, waiting: AtomicUsize::new(0), dropped: AtomicU64::new(0) });
        let written = Arc::clone(&state);
        // Without a thread nothing is taken: every line is dropped and counted.
        let _ =
            thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&lines, output, &written));
        Self { sender, state }
    }

    /// Lines that never got out.
    pub(super) fn dropped(&self) -> u64 {
        self.state.dropped.load(Relaxed)
    }

    /// Waits until everything is out, at most this long.
    pub(super) fn flush(&self, longest: Duration) {
        let start = Instant::now();
        while self.state.waiting.load(Relaxed) > 0 && start.elapsed() < longest {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn take(&self, line: &[u8]) {
        let before = self.state.waiting.fetch_add(line.len(), Relaxed);
        if before + line.len() > self.state.most || self.sender.send(line.to_vec()).is_err() {
            self.state.waiting.fetch_sub(line.len(), Relaxed);
            self.state.dropped.fetch_add(1, Relaxed);
        }
    }
}

/// The formatter hands over one whole line at a time.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.take(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn write_all(lines: &Receiver<Vec<u8>>, mut output: impl Write, state: &State) {
    let mut told = 0;
    while let Ok(first) = lines.recv() {
        thread::sleep(GATHER);
        let (mut batch, mut count) = (first, 1);
        while batch.len() < BATCH
            && let Ok(next) = lines.try_recv()
        {
            batch.extend_from_slice(&next);
            count += 1;
        }
        if output.write_all(&batch).is_err() {
            state.dropped.fetch_add(count, Relaxed);
        } else {
            told = tell_of_dropped(&mut output, told, state.dropped.load(Relaxed));
        }
        state.waiting.fetch_sub(batch.len(), Relaxed);
    }
}

/// Says how many lines are missing, when it is more than was told; returns what is told by now.
fn tell_of_dropped(output: &mut impl Write, told: u64, dropped: u64) -> u64 {
    if dropped == told {
        return told;
    }
    let line = serde_json::json!({
        "timestamp": jiff::Timestamp::now().to_string(),
        "level": "WARN",
        "message": "lines of the log were dropped",
        "count": dropped - told,
        "target": module_path!(),
    });
    if writeln!(output, "{line}").is_ok() { dropped } else { told }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;

    /// A place that takes nothing, fails or takes everything, as a test says.
    #[derive(Clone, Default)]
    struct Place(Arc<(Mutex<Held>, Condvar)>);

    #[derive(Default)]
    struct Held {
        mood: Mood,
        written: Vec<u8>,
    }

    #[derive(Clone, Copy, Default, PartialEq)]
    enum Mood {
        #[default]
        Blocked,
        Full,
        Open,
    }

    impl Place {
        fn set(&self, mood: Mood) {
            self.0.0.lock().expect("no panic").mood = mood;
            self.0.1.notify_all();
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.0.lock().expect("no panic").written.clone()).expect("text")
        }
    }

    impl Write for Place {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (state, changed) = &*self.0;
            let guard = state.lock().expect("no panic");
            let mut guard = changed.wait_while(guard, |held| held.mood == Mood::Blocked).expect("no panic");
            if guard.mood == Mood::Full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            guard.written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const LONGEST: Duration = Duration::from_secs(20);

    #[test]
    fn m04_whoever_logs_does_not_wait_and_what_is_too_much_is_dropped_and_told() {
        let place = Place::default();
        let lines = Lines::bounded(place.clone(), 100);

        for _ in 0..50 {
            lines.take(b"123456789\n");
        }
        assert_eq!(lines.dropped(), 40, "nothing was written, and 100 bytes have room");
        place.set(Mood::Open);
        lines.flush(LONGEST);

        let text = place.text();
        assert_eq!(text.matches("123456789\n").count(), 10, "{text}");
        assert!(text.contains("lines of the log were dropped") && text.contains("\"count\":40"), "{text}");
    }

    #[test]
    fn k06_a_disk_that_is_full_costs_lines_and_nothing_else_and_may_recover() {
        let place = Place::default();
        let lines = Lines::bounded(place.clone(), 100);

        place.set(Mood::Full);
        lines.take(b"lost\n");
        lines.flush(LONGEST);
        assert_eq!(lines.dropped(), 1);
        place.set(Mood::Open);
        lines.take(b"kept\n");
        lines.flush(LONGEST);

        let text = place.text();
        assert!(text.starts_with("kept\n") && text.contains("\"count\":1"), "{text}");
    }
}
