//! The folder of the private server. Only the server's account may read or change it.
//!
//! A user who can enter the folder is a superuser of the database. A user who can replace the folder, or put a link into it,
//! makes root write to another place. Therefore every folder of the path is checked, as sshd does for its keys, and an opened
//! file is checked by its handle.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::{Gid, Group, Uid, User, geteuid};

use super::Error;

/// A path with more symbolic links than this is considered a loop.
const MAX_LINKS: u32 = 40;

/// A folder that only the account of the server may enter.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    account: Option<User>,
}

impl Folder {
    /// Opens `name` in `directory`, and creates both if they are missing.
    ///
    /// If we are root, `account` runs the server; otherwise our own account does.
    pub(super) fn open(directory: &Path, name: &str, account: Option<User>) -> Result<Self, Error> {
        let path = directory.join(name);
        let unusable = |error| Error::Folder(path.clone(), error);
        walk(directory, &path)?;
        DirBuilder::new().recursive(true).mode(0o755).create(directory).map_err(unusable)?;
        // Checked again, because another process may have created it meanwhile.
        walk(directory, &path)?;
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(unusable(error)),
            _ => {}
        }
        let folder = Self { path, account };
        folder.own()?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file in the folder for appending, and creates it if it is missing. Never follows a link or waits for a pipe.
    pub(super) fn file(&self, name: &str) -> Result<File, Error> {
        let path = self.path.join(name);
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file =
            File::options().read(true).append(true).create(true).mode(0o600).custom_flags(flags.bits()).open(&path);
        let move_away = format!("move it away (mv '{0}' '{0}.old')", path.display());
        let refused = |fault: &str| refusal(&path, fault.to_owned(), move_away.clone());
        let file = match file {
            Ok(file) => file,
            Err(_) if is_link(&path) => return Err(refused("it is a symbolic link")),
            Err(_) if path.is_dir() => return Err(refused("it is a folder, and a file is needed")),
            Err(error) => return Err(Error::Folder(path, error)),
        };
        let metadata = file.metadata().map_err(|error| Error::Folder(path.clone(), error))?;
        if !metadata.is_file() {
            return Err(refused("it is not a regular file"));
        }
        if metadata.nlink() > 1 {
            return Err(refused("it has a second name elsewhere (a hard link)"));
        }
        if !self.is_mine(&metadata) && metadata.uid() != geteuid().as_raw() {
            return Err(refused(&format!("it belongs to {}", user(metadata.uid()))));
        }
        self.give(&file, &metadata)?;
        Ok(file)
    }

    /// Removes a regular file; anything else is an error.
    pub(super) fn remove(&self, name: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Ok(metadata) if metadata.is_dir() => {
                let move_away = format!("move it away (mv '{0}' '{0}.old')", path.display());
                Err(refusal(&path, "it is a folder, and a file is needed".to_owned(), move_away))
            }
            _ => fs::remove_file(&path).map_err(|error| Error::Folder(path, error)),
        }
    }

    /// Checks that a folder inside this one is not a link.
    pub(super) fn check(&self, name: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        if is_link(&path) { Err(refused_link(&path)) } else { Ok(()) }
    }

    /// Checks the folder by its handle. A folder that root has just created is given to the account.
    fn own(&self) -> Result<(), Error> {
        let path = &self.path;
        if is_link(path) {
            return Err(refused_link(path));
        }
        let unusable = |error| Error::Folder(path.clone(), error);
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        let handle = File::options().read(true).custom_flags(flags.bits()).open(path);
        let handle = handle.map_err(|error| match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() && !self.is_mine(&metadata) => self.refused_owner(&metadata),
            _ => unusable(error),
        })?;
        let metadata = handle.metadata().map_err(unusable)?;
        let is_fresh = metadata.uid() == geteuid().as_raw() && fs::read_dir(path).map_err(unusable)?.next().is_none();
        if !self.is_mine(&metadata) && !is_fresh {
            return Err(self.refused_owner(&metadata));
        }
        if metadata.mode() & 0o077 != 0 {
            let fault = format!("others may enter it (mode {:04o})", metadata.mode() & 0o7777);
            return Err(refusal(path, fault, format!("close it (chmod 700 '{}')", path.display())));
        }
        self.give(&handle, &metadata)
    }

    fn is_mine(&self, metadata: &Metadata) -> bool {
        metadata.uid() == self.account.as_ref().map_or(geteuid(), |account| account.uid).as_raw()
    }

    /// Changes the owner from root to the account.
    fn give(&self, handle: &File, metadata: &Metadata) -> Result<(), Error> {
        match &self.account {
            Some(account) if !self.is_mine(metadata) => {
                fchown(handle, Some(account.uid.as_raw()), Some(account.gid.as_raw()))
                    .map_err(|error| Error::Folder(self.path.clone(), error))
            }
            _ => Ok(()),
        }
    }

    fn refused_owner(&self, metadata: &Metadata) -> Error {
        let wanted = self.account.as_ref().map_or(geteuid(), |account| account.uid).as_raw();
        let fault = format!("it belongs to {}, not to {}", user(metadata.uid()), user(wanted));
        let remedy = format!(
            "if you trust what is in it, chown -R {} '{}'; else set database.directory to another folder",
            user(wanted),
            self.path.display()
        );
        refusal(&self.path, fault, remedy)
    }
}

/// Checks each existing folder of the path to `directory`. Refuses a path that others can redirect: a folder or link that is
/// owned neither by root nor by us, or a folder that others may write without the sticky bit.
fn walk(directory: &Path, to: &Path) -> Result<(), Error> {
    let unusable = |error| Error::Folder(to.to_owned(), error);
    let mut here = PathBuf::from("/");
    let mut ahead = steps(&std::path::absolute(directory).map_err(unusable)?);
    let mut links = 0;
    trust(&here, &fs::symlink_metadata(&here).map_err(unusable)?, to)?;
    while let Some(step) = ahead.pop_front() {
        if step == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&step);
        let metadata = match fs::symlink_metadata(&next) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            found => found.map_err(unusable)?,
        };
        trust(&next, &metadata, to)?;
        if !metadata.is_symlink() {
            here = next;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(unusable(io::Error::from(ErrorKind::NotADirectory)));
        }
        let target = fs::read_link(&next).map_err(unusable)?;
        if target.is_absolute() {
            here = PathBuf::from("/");
        }
        ahead = steps(&target).into_iter().chain(ahead).collect();
    }
    Ok(())
}

fn steps(path: &Path) -> VecDeque<OsString> {
    let is_step = |component: &Component<'_>| matches!(component, Component::Normal(_) | Component::ParentDir);
    path.components().filter(is_step).map(|component| component.as_os_str().to_owned()).collect()
}

fn trust(path: &Path, metadata: &Metadata, to: &Path) -> Result<(), Error> {
    let above = format!("it is above {}", to.display());
    if ![0, geteuid().as_raw()].contains(&metadata.uid()) {
        let fault = format!("{above} and belongs to {}, who could replace what is below", user(metadata.uid()));
        let remedy = "set database.directory to a folder below folders of root or of your own".to_owned();
        return Err(refusal(path, fault, remedy));
    }
    if metadata.is_dir() && is_open(metadata) {
        let fault = format!("{above} and may be written by others (mode {:04o})", metadata.mode() & 0o7777);
        return Err(refusal(path, fault, format!("close it (chmod go-w '{}')", path.display())));
    }
    Ok(())
}

/// Whether others may replace what is in the folder. With the sticky bit only the owner of a file may.
fn is_open(metadata: &Metadata) -> bool {
    let mode = metadata.mode();
    let is_sticky = mode & 0o1000 != 0;
    !is_sticky && (mode & 0o002 != 0 || (mode & 0o020 != 0 && !is_private_group(metadata.gid(), metadata.uid())))
}

/// Whether the user is the only member of the group. Many systems give every user such a group, and a umask that lets it write.
fn is_private_group(group: u32, uid: u32) -> bool {
    let owner = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let group = Group::from_gid(Gid::from_raw(group)).ok().flatten();
    let (Some(owner), Some(group)) = (owner, group) else { return false };
    owner.gid == group.gid && group.name == owner.name && group.mem.iter().all(|member| *member == owner.name)
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

/// The name of a user, or the user id if there is no name.
fn user(uid: u32) -> String {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

fn refused_link(path: &Path) -> Error {
    let remedy = format!("remove the link (rm '{}'), and set database.directory to where it leads", path.display());
    refusal(path, "it is a symbolic link".to_owned(), remedy)
}

fn refusal(path: &Path, fault: String, remedy: String) -> Error {
    Error::Unsafe { path: path.to_owned(), fault, remedy }
}
