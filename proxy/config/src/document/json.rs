//! Whether a text is JSON, strictly.

use serde::de::IgnoredAny;

use super::Fault;
use crate::mistake::Position;

pub(super) fn check(text: &str) -> Result<(), Fault> {
    if text.trim().is_empty() {
        return Ok(());
    }
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Ok(()),
        Err(error) => {
            let at = Position::in_file(error.line().max(1), error.column().max(1));
            let text = error.to_string();
            let problem = text.rsplit_once(" at line ").map_or(text.as_str(), |(problem, _)| problem);
            Err(Fault::new(at, format!("not valid JSON: {problem}")))
        }
    }
}
