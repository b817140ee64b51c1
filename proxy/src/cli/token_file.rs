//! Reads a token from a file. On the command line it would be seen by everybody on the machine.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;
use vibectl_token::MAX_TOKEN_BYTES;
use zeroize::Zeroizing;

/// The token in a file, or in standard input for `-`, without white space around it.
pub(super) fn read(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let read = if path == Path::new("-") {
        read_bounded(io::stdin().lock())
    } else {
        File::open(path).and_then(read_bounded)
    };
    let text = read.with_context(|| format!("failed to read {}", path.display()))?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// More than a token is cut off: it is none.
fn read_bounded(reader: impl Read) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let limit = u64::try_from(MAX_TOKEN_BYTES).unwrap_or(u64::MAX).saturating_add(64);
    reader.take(limit).read_to_string(&mut text)?;
    Ok(text)
}
