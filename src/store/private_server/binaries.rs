//! The installed PostgreSQL servers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest version that ends idle sessions, which frees the lock of a machine that lost power.
const OLDEST: u32 = 14;

/// Where Debian keeps them, a folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The programs of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    pub(super) folder: PathBuf,
    version: u32,
}

impl Binaries {
    /// Looks in `path` and where Debian keeps them for the version of the data, else the newest.
    pub(super) fn find(path: &[PathBuf], made_by: Option<u32>) -> Option<Self> {
        let debian = fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
        path.iter()
            .cloned()
            .chain(debian)
            .filter_map(|folder| Self::in_folder(&folder))
            .filter(|found| found.version >= OLDEST && made_by.is_none_or(|version| found.version == version))
            .max_by_key(|found| found.version)
    }

    fn in_folder(folder: &Path) -> Option<Self> {
        let has_all = ["postgres", "initdb", "pg_ctl"].iter().all(|program| folder.join(program).is_file());
        if !has_all {
            return None;
        }
        let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
        let version = major(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self { folder: folder.to_owned(), version })
    }
}

/// The major version in a line such as `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major(line: &str) -> Option<u32> {
    let number = line.split_whitespace().nth(2)?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_the_server_says() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 19devel"), Some(19));
        assert_eq!(major("sh: not found"), None);
    }
}
