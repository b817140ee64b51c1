//! Container images without a container engine: an OCI archive of one static binary, the same bytes for the same input.
//!
//! The archive also carries the older `manifest.json`, so that every engine's `load` understands it.

use std::{fs, io::Write as _, path::Path};

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};

use crate::fingerprint::sha256;

/// The account without a name that `restricted` Pod Security and distroless images use.
const USER: &str = "65532:65532";

/// One image: a binary at the root of an otherwise empty file system.
pub struct Image<'a> {
    /// The full name with its tag.
    pub reference: &'a str,
    /// The static binary on this machine.
    pub binary: &'a Path,
    /// Its file name in the image, and with further arguments the entry point.
    pub entrypoint: &'a [&'a str],
}

/// Writes the archive and returns its size in bytes.
pub fn write(image: &Image<'_>, archive: &Path) -> Result<u64> {
    let binary =
        fs::read(image.binary).with_context(|| format!("failed to read {}", image.binary.display()))?;
    let program = image.entrypoint.first().context("failed to write an image without an entry point")?;
    let content = assemble(image, &tar(&[(program.trim_start_matches('/'), 0o755, &binary)])?)?;
    // Written beside and renamed: a reader never meets half an archive.
    let unfinished = archive.with_extension("tar.unfinished");
    if let Some(folder) = archive.parent() {
        fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    }
    fs::write(&unfinished, &content).with_context(|| format!("failed to write {}", unfinished.display()))?;
    fs::rename(&unfinished, archive).with_context(|| format!("failed to write {}", archive.display()))?;
    Ok(content.len() as u64)
}

fn assemble(image: &Image<'_>, layer: &[u8]) -> Result<Vec<u8>> {
    let packed = gzip(layer)?;
    let config = bytes(&json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {"User": USER, "Entrypoint": image.entrypoint, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        "history": [{"created_by": "vibectl images"}],
    }))?;
    let manifest = bytes(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &packed)],
    }))?;
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    let tag = image.reference.rsplit(':').next().unwrap_or_default();
    entry["annotations"] = json!({
        "io.containerd.image.name": image.reference,
        "org.opencontainers.image.ref.name": tag,
    });
    let index = bytes(&json!({"schemaVersion": 2, "manifests": [entry]}))?;
    let legacy = bytes(&json!([{
        "Config": blob(&config), "RepoTags": [image.reference], "Layers": [blob(&packed)],
    }]))?;
    let mut files = [
        (blob(&packed), packed.as_slice()),
        (blob(&config), &config),
        (blob(&manifest), &manifest),
        ("index.json".to_owned(), &index),
        ("manifest.json".to_owned(), &legacy),
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#),
    ];
    files.sort();
    let named: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), 0o644, *content)).collect();
    tar(&named)
}

fn tar(files: &[(&str, u32, &[u8])]) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, mode, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        builder.append_data(&mut header, name, *content).with_context(|| format!("failed to pack {name}"))?;
    }
    builder.into_inner().context("failed to finish an archive")
}

fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    encoder.write_all(content).and_then(|()| encoder.finish()).context("failed to compress a layer")
}

fn bytes(value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value).context("failed to write image metadata")
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", sha256(content))
}

fn blob(content: &[u8]) -> String {
    format!("blobs/sha256/{}", sha256(content))
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(content), "size": content.len()})
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(folder: &Path, name: &str) -> Vec<u8> {
        let binary = folder.join("binary");
        fs::write(&binary, b"static").expect("written");
        let image = Image { reference: "vibectl.dev/box:1", binary: &binary, entrypoint: &["/box", "pause"] };
        let path = folder.join(name);
        write(&image, &path).expect("an archive");
        fs::read(path).expect("read")
    }

    #[test]
    fn the_same_binary_gives_the_same_bytes() {
        let folder = tempfile::tempdir().expect("a folder");

        assert_eq!(archive(folder.path(), "one.tar"), archive(folder.path(), "two.tar"));
    }

    #[test]
    fn every_blob_is_named_by_its_content() {
        let folder = tempfile::tempdir().expect("a folder");
        let content = archive(folder.path(), "one.tar");

        let mut blobs = 0;
        for entry in tar::Archive::new(content.as_slice()).entries().expect("entries") {
            let mut entry = entry.expect("an entry");
            let name = entry.path().expect("a name").to_string_lossy().into_owned();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).expect("content");
            if let Some(hash) = name.strip_prefix("blobs/sha256/") {
                assert_eq!(hash, sha256(&content));
                blobs += 1;
            }
        }
        assert_eq!(blobs, 3);
    }
}
