//! Files with keys that somebody handed out.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

/// Permissions of everybody but owner and group.
const OTHERS: u32 = 0o007;
/// Longest content that is read.
const MAX_LENGTH: u64 = 64 * 1024;

/// The content of a file that not everybody on the machine can read.
pub(super) fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.permissions().mode() & OTHERS != 0 {
        return Err(io::Error::other("everybody on this machine can read it; chmod o-rwx it"));
    }
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default()));
    file.take(MAX_LENGTH).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};

    use super::*;

    #[test]
    fn a_key_that_everybody_can_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        write(&path, "secret").expect("written");

        set_permissions(&path, Permissions::from_mode(0o644)).expect("changed");
        let error = read(&path).expect_err("open to everybody");
        set_permissions(&path, Permissions::from_mode(0o640)).expect("changed");

        assert!(error.to_string().contains("chmod o-rwx"), "{error}");
        assert_eq!(read(&path).expect("read").as_slice(), b"secret");
    }
}
