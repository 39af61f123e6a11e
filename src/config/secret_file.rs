//! Reads files that contain one secret and nothing else.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Error;
use super::regular_file;
use super::values::fault;

/// Maximum size in KiB. A larger file was named by mistake.
const MOST_KIB: u64 = 64;

/// Folder in which container platforms mount secrets. Its modes are not checked: the platform sets them, and no other
/// user is in the container.
const MOUNTED: &str = "/run/secrets/";

/// Mode bits that let users other than the owner read.
const OTHERS_READ: u32 = 0o044;

/// Reads the secret of a file that a variable names.
pub(super) fn read(path: &Path, variable: &str) -> Result<String, Error> {
    let faulty = |reason| Error::Secret { variable: variable.to_owned(), path: path.to_owned(), reason };
    let unreadable = |source| Error::SecretFile { variable: variable.to_owned(), path: path.to_owned(), source };
    let bytes = regular_file::read(path, MOST_KIB).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| faulty("is not UTF-8"))?;
    let secret = text.trim_start_matches('\u{feff}').trim();
    if secret.is_empty() {
        // If it were treated as unset, the program would continue without the secret.
        return Err(faulty("is empty"));
    }
    if secret.lines().count() > 1 {
        return Err(faulty("has several lines"));
    }
    fault(secret).map_or_else(|| Ok(secret.to_owned()), |reason| Err(faulty(reason)))
}

/// A warning if other users can read a file that contains a secret.
pub(super) fn warning(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    let is_open = mode & OTHERS_READ != 0 && !path.starts_with(MOUNTED);
    let path = path.display();
    is_open.then(|| format!("{path} holds a secret, and others may read it (mode {mode:04o}): chmod 600 '{path}'"))
}
