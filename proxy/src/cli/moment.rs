//! Times for people and programs.

use jiff::Timestamp;

/// Seconds since 1970 as RFC 3339; what no calendar holds, as its last moment.
pub(super) fn moment(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_string()
}
