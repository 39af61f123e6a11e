//! The daily log files: `sanggwond.2026-11-27.log`, named by the day in UTC, of which the last 30 are kept.
//!
//! `tracing-appender` writes and rotates them, but it opens whatever has the name of the file, and deletes every file
//! with a similar name. Therefore this module checks the folder and the file before the appender opens it, and deletes
//! old files itself.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, Utc};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use tracing_appender::rolling::{RollingFileAppender, Rotation};

/// Number of files that are kept.
const KEPT: usize = 30;

/// Mode bits of the folder: other users may write to it, and (sticky bit) only the owner of a file may replace it.
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// The file of the day.
#[derive(Debug)]
pub(super) struct Daily {
    folder: PathBuf,
    clock: fn() -> DateTime<Utc>,
    day: NaiveDate,
    appender: RollingFileAppender,
}

impl Daily {
    /// Opens the file of today, and creates the folder if it is missing.
    pub(super) fn open(folder: &Path, clock: fn() -> DateTime<Utc>) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let day = clock().date_naive();
        check(folder, day)?;
        let appender = RollingFileAppender::builder()
            .rotation(Rotation::DAILY)
            .filename_prefix("sanggwond")
            .filename_suffix("log")
            .build(folder)
            .map_err(|error| cause(&error))?;
        remove_old(folder, day);
        Ok(Self { folder: folder.to_owned(), clock, day, appender })
    }
}

impl Write for Daily {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let today = (self.clock)().date_naive();
        if today != self.day {
            // If the check fails, the line is counted as dropped, and the next line tries again.
            check(&self.folder, today)?;
            self.day = today;
            remove_old(&self.folder, today);
        }
        self.appender.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.appender.flush()
    }
}

/// The I/O error behind an error of the appender, whose own message repeats the name of the file and hides the cause.
fn cause(error: &dyn std::error::Error) -> io::Error {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let code = cause.and_then(io::Error::raw_os_error);
    code.map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error)
}

fn name(day: NaiveDate) -> String {
    format!("sanggwond.{}.log", day.format("%Y-%m-%d"))
}

/// Whether a name is that of a daily file.
fn is_named(file: &str) -> bool {
    let day = file.strip_prefix("sanggwond.").and_then(|rest| rest.strip_suffix(".log"));
    day.and_then(|day| day.parse::<NaiveDate>().ok()).is_some_and(|day| name(day) == file)
}

/// Whether a file is a regular file of this account, of the owner of the folder, or of root. Commands that root runs write
/// to the same file.
fn is_ours(found: &Metadata, folder: &Metadata) -> bool {
    found.is_file() && [geteuid().as_raw(), folder.uid(), 0].contains(&found.uid())
}

/// Checks that no other user can replace the file of a day, and that an existing file of that name is one of ours.
fn check(folder: &Path, day: NaiveDate) -> io::Result<()> {
    let of_folder = fs::metadata(folder)?;
    if of_folder.mode() & OTHERS_WRITE != 0 && of_folder.mode() & STICKY == 0 {
        return Err(io::Error::other("others could replace files in it: chmod o-w"));
    }
    let name = name(day);
    let refused = |fault| Err(io::Error::other(format!("{name} {fault}; remove it")));
    // Opening must not follow a link, and must not wait for the reader of a pipe.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let found = match File::options().append(true).custom_flags(flags.bits()).open(folder.join(&name)) {
        Ok(file) => file.metadata()?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => return refused("is a symbolic link"),
        Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) => return refused("is not a regular file"),
        Err(error) => return Err(error),
    };
    if !found.is_file() {
        return refused("is not a regular file");
    }
    if found.nlink() > 1 {
        return refused("has a second name elsewhere (a hard link)");
    }
    if !is_ours(&found, &of_folder) {
        return refused("belongs to another user");
    }
    Ok(())
}

/// Keeps the file of today and the newest other ones, [`KEPT`] in total, and deletes the older ones. A file that cannot
/// be deleted is tried again the next day.
fn remove_old(folder: &Path, today: NaiveDate) {
    let (Ok(entries), Ok(of_folder)) = (fs::read_dir(folder), fs::metadata(folder)) else { return };
    // `DirEntry::metadata` does not follow links.
    let is_old = |entry: &fs::DirEntry| entry.metadata().is_ok_and(|found| is_ours(&found, &of_folder));
    let names = entries.flatten().filter(is_old).filter_map(|entry| entry.file_name().into_string().ok());
    let names: BTreeSet<String> = names.filter(|file| is_named(file) && *file != name(today)).collect();
    for old in names.iter().rev().skip(KEPT - 1) {
        fs::remove_file(folder.join(old)).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::atomic::{AtomicI64, Ordering};

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    /// 2026-03-01 in UTC. The appender has the real clock, so on any other day it writes to a file of another name.
    const DAY: i64 = 1_772_323_200;

    fn then() -> DateTime<Utc> {
        DateTime::from_timestamp(DAY, 0).unwrap()
    }

    fn names(folder: &Path) -> BTreeSet<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_link_a_pipe_or_a_folder_in_place_of_the_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (file, victim) = (folder.path().join("sanggwond.2026-03-01.log"), folder.path().join("victim"));
        fs::write(&victim, "old").unwrap();
        let refusal = || Daily::open(folder.path(), then).unwrap_err().to_string();

        symlink(&victim, &file).unwrap();
        assert_eq!(refusal(), "sanggwond.2026-03-01.log is a symbolic link; remove it");
        fs::remove_file(&file).unwrap();
        fs::hard_link(&victim, &file).unwrap();
        assert!(refusal().contains("has a second name elsewhere"));
        fs::remove_file(&file).unwrap();
        mkfifo(&file, Mode::S_IRWXU).unwrap();
        assert!(refusal().contains("is not a regular file"));
        let _reader = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&file).unwrap();
        assert!(refusal().contains("is not a regular file"), "with a reader it can be opened");

        assert_eq!(fs::read_to_string(&victim).unwrap(), "old");
    }

    #[test]
    fn only_files_of_this_program_are_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for day in 1..=28 {
            fs::write(path(&format!("sanggwond.2026-02-{day:02}.log")), "").unwrap();
        }
        fs::write(path("sanggwond.2026-03-01.log"), "").unwrap();
        for other in ["sanggwond.2026-01-01.log.gz", "sanggwond.old.log", "sanggwond.2026-1-1.log", "notes", "a.log"] {
            fs::write(path(other), "").unwrap();
        }
        symlink("notes", path("sanggwond.2026-01-02.log")).unwrap();
        fs::create_dir(path("sanggwond.2026-01-03.log")).unwrap();
        for day in 3..=5 {
            fs::write(path(&format!("sanggwond.2025-12-0{day}.log")), "").unwrap();
        }
        let before = names(folder.path());

        Daily::open(folder.path(), then).unwrap();

        let after = names(folder.path());
        let gone: Vec<_> = before.difference(&after).collect();
        assert_eq!(gone, ["sanggwond.2025-12-03.log", "sanggwond.2025-12-04.log", "sanggwond.2025-12-05.log"]);
        assert_eq!(after.iter().filter(|name| is_named(name)).count(), KEPT + 2, "and the link and the folder");
    }

    #[test]
    fn a_folder_in_which_others_may_replace_files_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |mode| fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
        let opened = || Daily::open(folder.path(), then).map(drop).map_err(|error| error.to_string());

        mode(0o777);
        assert_eq!(opened(), Err("others could replace files in it: chmod o-w".to_owned()));
        mode(0o1777);
        assert_eq!(opened(), Ok(()), "with the sticky bit only the owner replaces a file");
    }

    #[test]
    fn a_symbolic_link_in_place_of_the_file_of_the_next_day_is_refused() {
        static SECONDS: AtomicI64 = AtomicI64::new(DAY);
        fn clock() -> DateTime<Utc> {
            DateTime::from_timestamp(SECONDS.load(Ordering::Relaxed), 0).unwrap()
        }
        let folder = tempfile::tempdir().unwrap();
        symlink("/dev/null", folder.path().join("sanggwond.2026-03-02.log")).unwrap();
        let mut daily = Daily::open(folder.path(), clock).unwrap();

        daily.write_all(b"friday\n").unwrap();
        SECONDS.fetch_add(24 * 60 * 60, Ordering::Relaxed);
        let refused = daily.write_all(b"saturday\n").unwrap_err();
        SECONDS.fetch_add(24 * 60 * 60, Ordering::Relaxed);
        daily.write_all(b"sunday\n").unwrap();

        assert_eq!(refused.to_string(), "sanggwond.2026-03-02.log is a symbolic link; remove it");
    }
}
