//! Progress lines for a person who waits. They go to standard error, so that standard output stays machine-readable.

use std::{fmt::Display, io::Write as _, sync::OnceLock, time::Instant};

static STARTED: OnceLock<Instant> = OnceLock::new();

/// Writes one line with the seconds since the first one.
pub fn say(line: impl Display) {
    let elapsed = STARTED.get_or_init(Instant::now).elapsed().as_secs_f32();
    // A closed terminal is no reason to stop the work.
    let _ = writeln!(std::io::stderr(), "[{elapsed:6.1}s] {line}");
}
