//! The installed PostgreSQL servers, and how their programs are run.

use std::cmp::Reverse;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::User;

/// The oldest version with `idle_session_timeout`, which frees the run lock of a machine that lost power.
const OLDEST: u32 = 14;

/// Where Debian keeps them, a folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The programs of one server, run by its account.
#[derive(Debug)]
pub(super) struct Binaries {
    folder: PathBuf,
    version: u32,
    runner: Runner,
}

/// The account and the `PATH` of the programs.
#[derive(Clone, Debug)]
struct Runner {
    account: Option<User>,
    path: OsString,
}

impl Binaries {
    /// Looks for the version of the data, else the newest: first in `path`, then where Debian keeps them. What the account
    /// may not run is not found.
    pub(super) fn find(path: &[PathBuf], made_by: Option<u32>, account: Option<&User>) -> Option<Self> {
        // A folder with a colon in its name cannot be in a PATH.
        let joined = std::env::join_paths(path).ok().filter(|joined| !joined.is_empty());
        let path_or_usual = joined.unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
        let runner = Runner { account: account.cloned(), path: path_or_usual };
        let debian = fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
        path.iter()
            .cloned()
            .chain(debian)
            .filter_map(|folder| Self::in_folder(folder, &runner))
            .filter(|found| found.version >= OLDEST && made_by.is_none_or(|version| found.version == version))
            .min_by_key(|found| Reverse(found.version))
    }

    fn in_folder(folder: PathBuf, runner: &Runner) -> Option<Self> {
        let has_all = ["postgres", "initdb"].iter().all(|program| folder.join(program).is_file());
        // A relative entry of PATH would mean another program in every folder.
        if !has_all || !folder.is_absolute() {
            return None;
        }
        let output = runner.command(&folder.join("postgres")).arg("--version").output().ok()?;
        let version = major(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self { folder, version, runner: runner.clone() })
    }

    /// One of the programs, run by the account from a folder that the account may enter.
    pub(super) fn command(&self, program: &str) -> Command {
        self.runner.command(&self.folder.join(program))
    }
}

impl Runner {
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // The environment is not inherited: it contains our secrets, and the account may read that of its processes. With
        // NOTIFY_SOCKET, systemd would take notices of the server for ours.
        command.current_dir("/").env_clear().env("LC_ALL", "C").env("PATH", &self.path);
        if let Some(account) = &self.account {
            command.uid(account.uid.as_raw()).gid(account.gid.as_raw());
        }
        command
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
    fn the_major_version_is_read_from_the_output_of_postgres() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 19devel"), Some(19));
        assert_eq!(major("sh: not found"), None);
    }
}
