//! A PostgreSQL server of our own, for who has none at hand.
//!
//! It keeps its data in a folder that only its account may enter, listens on a unix socket there and nowhere else, and
//! never runs as root. Every process that uses it holds a shared file lock; the last one stops it. A server that a kill
//! left behind is still running, and simply used.

mod binaries;

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{User, geteuid};
use sqlx::postgres::PgConnectOptions;

use super::Target;
use binaries::Binaries;

/// The longest folder of a socket: the kernel takes 107 bytes, and PostgreSQL's name in it needs 14.
const MAX_SOCKET_FOLDER: usize = 90;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing to start.
    #[error(
        "no database.url is set and no PostgreSQL server (14 or later) is installed to run one privately; set \
         DATABASE_URL, or install one (Debian: apt-get install postgresql)"
    )]
    NotInstalled,
    /// The data needs another version.
    #[error("the data in {0} was made by PostgreSQL {1}, whose server binaries are not installed")]
    OtherVersion(PathBuf, u32),
    /// Root may not run it, and nobody else is there.
    #[error("the private database cannot run as root, and there is no account postgres or nobody")]
    NoAccount,
    /// A path is too long for a socket.
    #[error("{0} is too long a path for a unix socket; set database.directory to a shorter one")]
    LongPath(PathBuf),
    /// A folder or file cannot be used.
    #[error("could not use {0} for the private database")]
    Folder(PathBuf, #[source] io::Error),
    /// A program failed.
    #[error("{program} failed for the private database in {directory}: {output}")]
    Program {
        /// Which.
        program: &'static str,
        /// Where.
        directory: PathBuf,
        /// Its last words.
        output: String,
    },
}

/// The right to use the private server; [`PrivateServer::leave`] gives it back.
#[derive(Debug)]
pub struct PrivateServer {
    home: Home,
    users: File,
}

/// Where the server lives, and as whom.
#[derive(Debug)]
struct Home {
    /// The folder of data, socket and log.
    folder: PathBuf,
    binaries: Binaries,
    account: Option<User>,
}

impl PrivateServer {
    /// Starts the server in `directory`, or joins the one that runs there. Blocks until it is ready.
    ///
    /// `path` are the folders in which programs are looked for first.
    ///
    /// # Errors
    /// When no server is installed, or it does not start.
    pub fn start(directory: &Path, path: &[PathBuf]) -> Result<Self, Error> {
        let home = Home::prepare(directory, path)?;
        let _starting = home.lock("start.lock")?;
        let users = home.open("users.lock")?;
        users.lock_shared().map_err(|error| Error::Folder(home.folder.clone(), error))?;
        if !home.data().join("PG_VERSION").exists() {
            home.create()?;
        }
        if !home.is_running()? {
            home.start()?;
        }
        Ok(Self { home, users })
    }

    /// A database of the server.
    #[must_use]
    pub fn target(&self, database: &str) -> Target {
        let options = PgConnectOptions::new_without_pgpass().socket(&self.home.folder).username("postgres");
        Target::new(options.database(database))
    }

    /// Stops the server where nobody else uses it.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn leave(self) -> Result<(), Error> {
        let unusable = |error| Error::Folder(self.home.folder.clone(), error);
        let _stopping = self.home.lock("start.lock")?;
        self.users.unlock().map_err(unusable)?;
        match self.users.try_lock() {
            Ok(()) => self.home.stop(),
            Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }
}

impl Home {
    fn prepare(directory: &Path, path: &[PathBuf]) -> Result<Self, Error> {
        let folder = directory.join("postgres");
        let unusable = |error| Error::Folder(folder.clone(), error);
        let directory = std::path::absolute(directory).map_err(unusable)?;
        let folder = directory.join("postgres");
        if folder.as_os_str().len() > MAX_SOCKET_FOLDER {
            return Err(Error::LongPath(folder));
        }
        let unusable = |error| Error::Folder(folder.clone(), error);
        let account = account()?;
        DirBuilder::new().recursive(true).mode(0o755).create(&directory).map_err(unusable)?;
        if !folder.exists() {
            DirBuilder::new().mode(0o700).create(&folder).map_err(unusable)?;
        }
        if let Some(account) = &account {
            chown(&folder, Some(account.uid.as_raw()), Some(account.gid.as_raw())).map_err(unusable)?;
        }
        let made_by = fs::read_to_string(folder.join("data/PG_VERSION")).ok();
        let made_by = made_by.and_then(|version| version.trim().parse().ok());
        let binaries = Binaries::find(path, made_by).ok_or_else(|| match made_by {
            Some(version) => Error::OtherVersion(folder.clone(), version),
            None => Error::NotInstalled,
        })?;
        Ok(Self { folder, binaries, account })
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn open(&self, name: &str) -> Result<File, Error> {
        let unusable = |error| Error::Folder(self.folder.clone(), error);
        File::options().create(true).append(true).open(self.folder.join(name)).map_err(unusable)
    }

    fn lock(&self, name: &str) -> Result<File, Error> {
        let file = self.open(name)?;
        file.lock().map_err(|error| Error::Folder(self.folder.clone(), error))?;
        Ok(file)
    }

    fn create(&self) -> Result<(), Error> {
        // Made beside its place and then moved there: what a creation that was killed left behind is no database.
        let unusable = |error| Error::Folder(self.folder.clone(), error);
        let unfinished = self.folder.join("data.new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(unusable)?;
        }
        let mut initdb = self.command("initdb");
        initdb.arg("-D").arg(&unfinished).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale"]);
        let output = initdb.output().map_err(|error| Error::Folder(self.folder.clone(), error))?;
        if output.status.success() {
            return fs::rename(&unfinished, self.data()).map_err(unusable);
        }
        Err(self.failure("initdb", &String::from_utf8_lossy(&output.stderr)))
    }

    fn is_running(&self) -> Result<bool, Error> {
        let mut status = self.command("pg_ctl");
        status.arg("status").arg("-D").arg(self.data()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = status.status().map_err(|error| Error::Folder(self.folder.clone(), error))?;
        Ok(status.success())
    }

    fn start(&self) -> Result<(), Error> {
        let socket = self.folder.display().to_string().replace('\'', r"'\''");
        let options = format!("-k '{socket}' -c listen_addresses= -c max_connections=200 -c shared_buffers=64MB");
        let log = self.folder.join("server.log");
        let mut start = self.command("pg_ctl");
        start.args(["start", "-w", "-t", "120", "-o", &options, "-l"]).arg(&log).arg("-D").arg(self.data());
        // The server inherits these, and would keep a pipe open.
        start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = start.status().map_err(|error| Error::Folder(self.folder.clone(), error))?;
        if status.success() {
            return Ok(());
        }
        let log = fs::read_to_string(log).unwrap_or_default();
        Err(self.failure("pg_ctl start", &log))
    }

    fn stop(&self) -> Result<(), Error> {
        let mut stop = self.command("pg_ctl");
        stop.args(["stop", "-w", "-m", "fast", "-D"]).arg(self.data());
        let output = stop.output().map_err(|error| Error::Folder(self.folder.clone(), error))?;
        if output.status.success() || !self.is_running()? {
            return Ok(());
        }
        Err(self.failure("pg_ctl stop", &String::from_utf8_lossy(&output.stderr)))
    }

    /// A program of the server, run by its account from a folder that the account may enter.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.folder.join(program));
        command.current_dir("/").env("LC_ALL", "C").env_remove("PGDATA").env_remove("PGPORT").env_remove("PGHOST");
        // It would tell the service manager that we are ready.
        command.env_remove("NOTIFY_SOCKET");
        if let Some(account) = &self.account {
            command.uid(account.uid.as_raw()).gid(account.gid.as_raw());
        }
        command
    }

    fn failure(&self, program: &'static str, output: &str) -> Error {
        let last = output.trim().lines().rev().take(3).collect::<Vec<_>>();
        let output = last.into_iter().rev().collect::<Vec<_>>().join("; ");
        Error::Program { program, directory: self.folder.clone(), output }
    }
}

/// The account of the server where we are root.
fn account() -> Result<Option<User>, Error> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let known = |name| User::from_name(name).ok().flatten();
    known("postgres").or_else(|| known("nobody")).map(Some).ok_or(Error::NoAccount)
}
