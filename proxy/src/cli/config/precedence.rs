//! `config precedence`: what stands over what, and where every value comes from.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;
use vibectl_config::Leaf;
use vibectl_config::layers::variable_of;

use super::{File, leaves, write_json};
use crate::cli::outcome::Failure;
use crate::cli::table;
use crate::settings::Settings;

const RULE: &str = "\
flags > environment variables > file > defaults: the first that says something counts.
The variable of a key is VIBECTL_ and the key in capitals, with _ for each dot: VIBECTL_SERVER_PORT for server.port.
Three have shorter names: VIBECTL_LOG_LEVEL, VIBECTL_JWT_SECRET (jwt.secret_key), VIBECTL_JWT_SECRET_FILE.
Lists and maps are YAML: VIBECTL_MODEL_ALIASES='{fast: small}'. Flags are those of the commands that serve.
";
/// Longer values are cut: a line is to fit.
const LONGEST: usize = 32;

/// Arguments of `config precedence`.
#[derive(Debug, Args)]
pub(super) struct Precedence {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table, value_name = "FORMAT")]
    output: Output,
    #[command(flatten)]
    file: File,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

#[derive(Serialize)]
struct Row {
    key: String,
    value: Value,
    origin: String,
    variable: Option<&'static str>,
}

impl Precedence {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let (settings, parsed) = self.file.in_effect()?;
        let leaves = leaves(&parsed, false)?;
        match self.output {
            Output::Json => write_json(&leaves.into_iter().map(Row::of).collect::<Vec<_>>(), out),
            Output::Table => explain(&settings, &leaves, out),
        }
        .map_err(Failure::running)
    }
}

fn explain(settings: &Settings, leaves: &[Leaf], out: &mut dyn Write) -> io::Result<()> {
    let file = match &settings.file {
        Some(path) if path.exists() => path.display().to_string(),
        Some(path) => format!("{} (not there)", path.display()),
        None => "none: there is no directory to look in".to_owned(),
    };
    writeln!(out, "{RULE}File: {file}\n")?;
    let rows = leaves.iter().map(|leaf| vec![leaf.key.clone(), short(&leaf.value), leaf.origin.to_string()]);
    table::write(&["KEY", "VALUE", "FROM"], rows, out)
}

fn short(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.escape_debug().to_string(),
        value => value.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

impl Row {
    fn of(leaf: Leaf) -> Self {
        let variable = variable_of(&leaf.key).map(|variable| variable.name.as_str());
        Self { key: leaf.key, value: leaf.value, origin: leaf.origin.to_string(), variable }
    }
}
