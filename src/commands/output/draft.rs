//! An output file. It appears only when it is complete, and keeps the owner and the mode of the file that it replaces.
//!
//! The command may run as root in a folder that other users can write to. Therefore the temporary file has a name that
//! cannot be guessed, links of other users in a folder such as /tmp are refused, and a device or a pipe is written to
//! and never replaced.

use std::fs::{self, File, FileType, Metadata, Permissions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::geteuid;

use super::Named;

/// Maximum number of links that are followed. A longer chain is considered a loop.
const MAX_LINKS: u32 = 40;

/// Mode bits of a sticky folder that everybody may write to, such as /tmp.
const SHARED: u32 = 0o1002;

/// An output that is being written. Unless [`Draft::keep`] is called, dropping it deletes the temporary file.
#[derive(Debug)]
pub(in crate::commands) struct Draft {
    name: String,
    unfinished: Option<Unfinished>,
}

/// A file with a temporary name in the folder of its target.
#[derive(Debug)]
struct Unfinished {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
}

/// What a path resolves to.
#[derive(Debug)]
enum Place {
    /// A name in a folder, which is not a link.
    Name(PathBuf),
    /// An open file of a process, such as /dev/stdout.
    Descriptor(PathBuf),
}

impl Draft {
    /// Creates a temporary file, or opens the device or pipe that the path names.
    pub(in crate::commands) fn create(path: &Path) -> anyhow::Result<(Self, Named<File>)> {
        let name = path.display().to_string();
        let (unfinished, to) = begin(path).with_context(|| format!("could not write {name}"))?;
        Ok((Self { name: name.clone(), unfinished }, Named { name, to }))
    }

    /// Whether it is a file, and not a device or a pipe.
    pub(in crate::commands) fn is_file(&self) -> bool {
        self.unfinished.is_some()
    }

    /// Renames the file to its target, replacing an existing file.
    pub(in crate::commands) fn keep(mut self) -> anyhow::Result<()> {
        let Some(unfinished) = self.unfinished.take() else { return Ok(()) };
        unfinished.keep().with_context(|| format!("could not write {}", self.name))
    }
}

impl Unfinished {
    fn create(target: PathBuf, mode: u32) -> io::Result<Self> {
        let random = RandomState::new().build_hasher().finish();
        let temporary = target.with_file_name(format!(".sanggwond-{random:016x}.part"));
        let file = File::options().write(true).create_new(true).mode(mode).open(&temporary)?;
        Ok(Self { file, temporary, target })
    }

    /// Copies the owner and the mode of the file that it will replace.
    fn take_over(&self, old: &Metadata) -> io::Result<()> {
        let new = self.file.metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            let (uid, gid) = (old.uid(), old.gid());
            let words =
                format!("it belongs to user {uid} and group {gid}, which only root can keep; choose another name");
            fchown(&self.file, Some(uid), Some(gid)).map_err(|_| io::Error::other(words))?;
        }
        self.file.set_permissions(Permissions::from_mode(old.mode() & 0o777))
    }

    fn keep(self) -> io::Result<()> {
        self.file.sync_all()?;
        // After the rename the temporary name is gone, and `drop` deletes nothing.
        fs::rename(&self.temporary, &self.target)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // If it cannot be deleted, at least it does not have the requested name.
        fs::remove_file(&self.temporary).ok();
    }
}

fn begin(path: &Path) -> io::Result<(Option<Unfinished>, File)> {
    let target = match resolve(path)? {
        Place::Descriptor(path) => {
            let found = fs::metadata(&path)?.file_type();
            return Ok((None, stream(&path, found, OFlag::empty())?));
        }
        Place::Name(target) => target,
    };
    let old = match fs::symlink_metadata(&target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        found => Some(found?),
    };
    match old {
        Some(old) if !old.is_file() => Ok((None, stream(&target, old.file_type(), OFlag::O_NOFOLLOW)?)),
        old => {
            // No other user may read it before it has the mode of the old file.
            let unfinished = Unfinished::create(target, if old.is_some() { 0o600 } else { 0o666 })?;
            old.map(|old| unfinished.take_over(&old)).transpose()?;
            let file = unfinished.file.try_clone()?;
            Ok((Some(unfinished), file))
        }
    }
}

/// Follows the links at the end of a path.
fn resolve(path: &Path) -> io::Result<Place> {
    let is_folder = || io::Error::other("it is a folder; name a file in it");
    if path.as_os_str().as_bytes().ends_with(b"/") {
        return Err(is_folder());
    }
    let mut here = path.to_owned();
    let mut is_link = false;
    for _ in 0..MAX_LINKS {
        let name = here.file_name().ok_or_else(is_folder)?.to_owned();
        let folder = here.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = fs::canonicalize(folder)?;
        here = folder.join(name);
        match fs::symlink_metadata(&here) {
            // A link in /proc leads to the open file itself, which may have no name.
            Ok(found) if found.is_symlink() && here.starts_with("/proc") => return Ok(Place::Descriptor(here)),
            Ok(found) if found.is_symlink() => {
                trust(&found, &folder)?;
                here = folder.join(fs::read_link(&here)?);
                is_link = true;
            }
            Err(error) if is_link && error.kind() == io::ErrorKind::NotFound => {
                return Err(io::Error::other("it is a link to a file that does not exist; remove the link"));
            }
            _ => return Ok(Place::Name(here)),
        }
    }
    Err(io::Error::other("its links lead round in a circle"))
}

/// Refuses a link that another user has put into a folder such as /tmp, like the kernel with `fs.protected_symlinks`.
fn trust(link: &Metadata, folder: &Path) -> io::Result<()> {
    let folder = fs::metadata(folder)?;
    if folder.mode() & SHARED != SHARED || [geteuid().as_raw(), folder.uid()].contains(&link.uid()) {
        return Ok(());
    }
    let words =
        format!("it is a link of user {} in a folder that everybody may write; choose another name", link.uid());
    Err(io::Error::other(words))
}

/// Opens a device, a pipe or an open file of a process, without waiting for a reader.
fn stream(path: &Path, found: FileType, flags: OFlag) -> io::Result<File> {
    if let Some(refusal) = refusal(found) {
        return Err(io::Error::other(refusal));
    }
    let flags = flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    // An open regular file is appended to, because what it already contains is not ours.
    let mut options = File::options();
    let file = options.append(found.is_file()).write(true).custom_flags(flags.bits()).open(path);
    let file = file.map_err(|error| match error.raw_os_error() {
        Some(code) if code == Errno::ENXIO as i32 => io::Error::other("it is a pipe that nobody reads"),
        _ => error,
    })?;
    // It may have been replaced since it was checked.
    if file.metadata()?.file_type() != found {
        return Err(io::Error::other("it was replaced while it was opened"));
    }
    // Only opening must not block. Writing waits for a slow reader.
    let set = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
    fcntl(&file, FcntlArg::F_SETFL(set - OFlag::O_NONBLOCK))?;
    Ok(file)
}

fn refusal(found: FileType) -> Option<&'static str> {
    if found.is_dir() {
        Some("it is a folder; name a file in it")
    } else if found.is_socket() {
        Some("it is a socket; name a file")
    } else if found.is_block_device() {
        Some("it is a disk; name a file")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    fn write(path: &Path, text: &str) -> Result<(), String> {
        let words = |error: anyhow::Error| format!("{error:#}");
        let (draft, mut to) = Draft::create(path).map_err(words)?;
        to.write_all(text.as_bytes()).unwrap();
        draft.keep().map_err(words)
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_link_stays_and_its_target_is_replaced_with_the_same_mode() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "old").unwrap();
        fs::set_permissions(&target, Permissions::from_mode(0o600)).unwrap();
        symlink("target", &link).unwrap();

        write(&link, "new").unwrap();

        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(names(folder.path()), ["link", "target"]);
    }

    #[test]
    fn a_path_that_is_not_a_file_is_refused_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        mkfifo(&path("pipe"), Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        symlink("nowhere", path("dangling")).unwrap();
        symlink("circle", path("circle")).unwrap();
        let before = names(folder.path());

        for (name, words) in [
            ("", "it is a folder"),
            ("new/", "it is a folder"),
            ("..", "it is a folder"),
            ("socket", "it is a socket"),
            ("dangling", "it is a link to a file that does not exist"),
            ("circle", "its links lead round in a circle"),
            ("pipe", "it is a pipe that nobody reads"),
            ("nowhere/file", "No such file or directory"),
        ] {
            let refused = write(&path(name), "new").unwrap_err();

            assert!(refused.starts_with("could not write /") && refused.contains(words), "{name}: {refused}");
        }
        assert_eq!(names(folder.path()), before);
    }

    #[test]
    fn a_device_or_a_pipe_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let reader = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&pipe).unwrap();
        symlink("/dev/null", folder.path().join("null")).unwrap();

        write(&folder.path().join("null"), "new").unwrap();
        write(&pipe, "new").unwrap();

        assert_eq!(io::read_to_string(reader).unwrap(), "new");
        assert_eq!(names(folder.path()), ["null", "pipe"]);
    }
}
