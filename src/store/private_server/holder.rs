//! Finds the process that uses the data without asking it, because a server that starts, stops or recovers does not answer.
//!
//! The pid file alone is not enough: after a power cut another process may have its number, and in a container it is the
//! number of another namespace. But the working directory of a PostgreSQL server is its data directory, and `/proc` shows it.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::geteuid;

/// A process that uses the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// This process certainly does.
    Server(i32),
    /// The pid file names this PostgreSQL process, but we may not read its working directory.
    Perhaps(i32),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(pid) => write!(f, "process {pid} works with its data, but does not answer at its socket"),
            Self::Perhaps(pid) => write!(
                f,
                "postmaster.pid names process {pid}, and this process may not see what that one works with; if it is \
                 another server, remove the file"
            ),
        }
    }
}

impl Holder {
    /// Looks for the process that uses the data.
    pub(super) fn of(data: &Path) -> Option<Self> {
        let named = named_by(&data.join("postmaster.pid"));
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let owner = fs::metadata(data).ok()?;
        pids.filter(|pid| is_postgres_of(*pid, owner.uid())).find_map(|pid| match folder_of(pid, &owner) {
            Ok(folder) if is_same(&folder, data) => Some(Self::Server(pid)),
            Err(error) if error.kind() == ErrorKind::PermissionDenied && named == Some(pid) => Some(Self::Perhaps(pid)),
            _ => None,
        })
    }
}

/// The working directory of a process.
fn folder_of(pid: i32, owner: &fs::Metadata) -> io::Result<fs::Metadata> {
    let link = format!("/proc/{pid}/cwd");
    match fs::metadata(&link) {
        // Root without CAP_SYS_PTRACE, as in a container, may not see it. The account that the server runs as may.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && geteuid().is_root() => {
            let mut readlink = Command::new("readlink");
            readlink.arg("--no-newline").arg(&link).uid(owner.uid()).gid(owner.gid());
            let seen =
                readlink.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).stderr(Stdio::null()).output();
            match seen {
                Ok(seen) if seen.status.success() => fs::metadata(OsString::from_vec(seen.stdout)),
                _ => Err(error),
            }
        }
        seen => seen,
    }
}

/// Whether the process runs; a zombie does not.
pub(super) fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name of the program may contain any character; it ends at the last bracket.
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Whether the path leads to the folder.
pub(super) fn is_same(folder: &fs::Metadata, path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|other| (other.dev(), other.ino()) == (folder.dev(), folder.ino()))
}

/// Whether a process is a PostgreSQL server of this account. A server of another account cannot use the data.
fn is_postgres_of(pid: i32, uid: u32) -> bool {
    let is_of_account = fs::metadata(format!("/proc/{pid}")).is_ok_and(|process| process.uid() == uid);
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    is_of_account && matches!(name.trim_end(), "postgres" | "postmaster")
}

/// The process that a pid file names; a server in single-user mode writes its number below zero.
fn named_by(file: &Path) -> Option<i32> {
    // Opening a pipe would block.
    if !fs::symlink_metadata(file).ok()?.is_file() {
        return None;
    }
    fs::read_to_string(file).ok()?.lines().next()?.trim().parse::<i32>().ok()?.checked_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_pid_file_names_a_process() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("postmaster.pid");
        let named = |text: &str| {
            fs::write(&file, text).unwrap();
            named_by(&file)
        };

        assert_eq!(named("4711\n/data\n"), Some(4711));
        assert_eq!(named("-4711\n"), Some(4711), "single-user mode");
        for text in ["", "\n", "x", "99999999999", "-2147483648"] {
            assert_eq!(named(text), None, "{text:?}");
        }
        assert_eq!(named_by(folder.path()), None);
    }

    #[test]
    fn a_process_that_is_not_postgresql_is_not_a_server() {
        let here = std::env::current_dir().unwrap();

        assert!(is_alive(std::process::id().cast_signed()) && !is_alive(i32::MAX));
        assert_eq!(Holder::of(&here), None, "it works in the folder, but is no PostgreSQL");
    }
}
