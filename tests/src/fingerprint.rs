//! A short hash of source files, by which built things are kept and found again.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{Context, SHA256};

/// Folders that no build reads.
const SKIPPED: [&str; 3] = ["target", "tests", "benches"];

/// The first twelve hex digits of a hash over the names and contents of these files and folders. Hidden files, Markdown, build
/// output and test folders do not count; a path that is missing counts as missing.
pub fn of(root: &Path, paths: &[&str]) -> Result<String> {
    let mut digest = Context::new(&SHA256);
    for path in paths {
        let mut files = Vec::new();
        collect(&root.join(path), &mut files)?;
        for file in files {
            let content = fs::read(&file).with_context(|| format!("failed to read {}", file.display()))?;
            let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy();
            digest.update(format!("{name}\n{}\n", content.len()).as_bytes());
            digest.update(&content);
        }
    }
    Ok(hex(digest.finish().as_ref()).chars().take(12).collect())
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The whole SHA-256 digest in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&SHA256, bytes).as_ref())
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
    }
    if !path.is_dir() {
        return Ok(());
    }
    let read = || fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut entries = read().with_context(|| format!("failed to list {}", path.display()))?;
    entries.sort();
    for entry in entries.iter().filter(|entry| counts(entry)) {
        collect(entry, files)?;
    }
    Ok(())
}

fn counts(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let markdown = path.extension().is_some_and(|extension| extension == "md");
    !(name.starts_with('.') || markdown || path.is_dir() && SKIPPED.contains(&name.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_changes_with_content_and_name_but_not_with_tests_or_documents() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        };
        let hash = || of(folder.path(), &["src", "absent"]).expect("a hash");
        write("src/a.rs", "one");
        let first = hash();

        write("src/README.md", "words");
        write("src/tests/b.rs", "test");
        write("src/.hidden", "editor");
        assert_eq!(hash(), first);

        write("src/a.rs", "two");
        let second = hash();
        assert_ne!(second, first);

        write("src/b.rs", "");
        assert_ne!(hash(), second);
    }
}
