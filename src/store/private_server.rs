//! A PostgreSQL server of our own, for users who have none.
//!
//! It keeps its data in a folder that only its account may enter, listens on a unix socket there and nowhere else, and
//! never runs as root. Every process that uses it holds a shared file lock; the last one stops it. If a process is killed,
//! its server keeps running, and the next process uses it.
//!
//! A server is ours only if it answers on our socket and its data directory is ours. The pid file is not trusted: after a
//! power cut it may name an unrelated process, which must not be stopped.

mod answer;
mod binaries;
mod error;
mod folder;
mod holder;
mod wait;

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};

use super::Target;
use answer::Answer;
use binaries::Binaries;
use folder::Folder;
use holder::Holder;
use wait::Wait;

pub use error::Error;

/// The longest path of the socket's folder in bytes: the kernel allows 107 for a socket, and its file name needs 14.
const MAX_SOCKET_FOLDER: usize = 90;

/// Time limit for a server to start, including recovery after a crash, and to stop.
const PATIENCE: Duration = Duration::from_mins(3);

/// Time limit for the lock while other processes start or stop the server.
const LOCK_PATIENCE: Duration = Duration::from_mins(10);

/// Maximum size of the end of the log that is read to find why the server did not start.
const LOG_TAIL_BYTES: u64 = 64 << 10;

/// Permission to use the private server; [`PrivateServer::leave`] returns it.
#[derive(Debug)]
pub struct PrivateServer {
    home: Home,
    users: File,
    /// The server process, if this process started it.
    child: Option<Child>,
}

/// Where the server lives, and what runs it.
#[derive(Debug)]
struct Home {
    /// The folder of data, socket and log.
    folder: Folder,
    binaries: Binaries,
}

impl PrivateServer {
    /// Starts the server in `directory`, or joins the one that runs there, and waits until it is ready.
    ///
    /// The folders in `path` are searched for the programs first.
    ///
    /// # Errors
    /// When no server is installed, it does not start, or other users can change its folder.
    pub async fn start(directory: &Path, path: &[PathBuf]) -> Result<Self, Error> {
        let home = Home::prepare(directory, path)?;
        let _starting = home.lock("start.lock").await?;
        let users = home.folder.file("users.lock")?;
        users.lock_shared().map_err(|error| home.unusable(error))?;
        if !home.data().join("PG_VERSION").exists() {
            home.create().await?;
        }
        let child = if home.joins().await? { None } else { home.launch().await? };
        Ok(Self { home, users, child })
    }

    /// A database of the server.
    #[must_use]
    pub fn target(&self, database: &str) -> Target {
        Target::new(answer::options(self.home.folder.path()).database(database))
    }

    /// Stops the server if no other process uses it.
    ///
    /// # Errors
    /// When it does not stop.
    pub async fn leave(self) -> Result<(), Error> {
        let _stopping = self.home.lock("start.lock").await?;
        self.users.unlock().map_err(|error| self.home.unusable(error))?;
        match self.users.try_lock() {
            Ok(()) => self.home.stop(self.child).await,
            Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Error(error)) => Err(self.home.unusable(error)),
        }
    }
}

impl Home {
    fn prepare(directory: &Path, path: &[PathBuf]) -> Result<Self, Error> {
        let unusable = |error| Error::Folder(directory.join("postgres"), error);
        let directory = std::path::absolute(directory).map_err(unusable)?;
        let folder = directory.join("postgres");
        if folder.as_os_str().len() > MAX_SOCKET_FOLDER {
            return Err(Error::LongPath(folder));
        }
        let account = account()?;
        let folder = Folder::open(&directory, "postgres", account.clone())?;
        folder.check("data")?;
        let made_by = made_by(&folder.path().join("data"))?;
        let binaries = Binaries::find(path, made_by, account.as_ref()).ok_or_else(|| match made_by {
            Some(version) => Error::OtherVersion(folder.path().to_owned(), version),
            None => Error::NotInstalled,
        })?;
        Ok(Self { folder, binaries })
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn unusable(&self, error: std::io::Error) -> Error {
        Error::Folder(self.folder.path().to_owned(), error)
    }

    fn silent(&self, why: String) -> Error {
        Error::Silent { folder: self.folder.path().to_owned(), why }
    }

    async fn lock(&self, name: &str) -> Result<File, Error> {
        let file = self.folder.file(name)?;
        let mut wait = Wait::new(LOCK_PATIENCE);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(self.unusable(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            let folder = self.folder.path();
            let why = || format!("another process starts or stops the PostgreSQL in {}", folder.display());
            if !wait.goes_on(why).await {
                return Err(Error::Locked(folder.join(name)));
            }
        }
    }

    async fn create(&self) -> Result<(), Error> {
        // Created under another name and then renamed, so that a killed initdb never leaves a half-created database in place.
        let unfinished = self.folder.path().join("data.new");
        self.folder.check("data.new")?;
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(|error| self.unusable(error))?;
        }
        let mut initdb = self.binaries.command("initdb");
        initdb.arg("-D").arg(&unfinished).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale"]);
        let output = tokio::task::spawn_blocking(move || initdb.output()).await.map_err(std::io::Error::other);
        let output = output.flatten().map_err(|error| self.unusable(error))?;
        if output.status.success() {
            return fs::rename(&unfinished, self.data()).map_err(|error| self.unusable(error));
        }
        Err(self.failure("initdb", &String::from_utf8_lossy(&output.stderr)))
    }

    /// Whether our server runs already. Waits while it starts, stops or recovers.
    async fn joins(&self) -> Result<bool, Error> {
        let mut wait = Wait::new(PATIENCE);
        loop {
            let why = match self.ask().await {
                Answer::Ours { .. } => return Ok(true),
                Answer::Foreign(data) => return Err(self.foreign(data)),
                Answer::Unready(words) => words,
                Answer::Nobody => match Holder::of(&self.data()) {
                    Some(holder) => holder.to_string(),
                    None => return Ok(false),
                },
            };
            if !wait.goes_on(|| format!("the private database does not answer yet: {why}")).await {
                return Err(self.silent(why));
            }
        }
    }

    async fn ask(&self) -> Answer {
        answer::ask(self.folder.path(), &self.data()).await
    }

    fn foreign(&self, data: PathBuf) -> Error {
        Error::Foreign { folder: self.folder.path().to_owned(), data }
    }

    /// Starts the server and waits until it is ready; `None` where another one came first, which is ready then.
    async fn launch(&self) -> Result<Option<Child>, Error> {
        // Files of a server that has ended. If another process has its process id by now, PostgreSQL would take that
        // process for a running server and refuse to start.
        self.folder.remove("data/postmaster.pid")?;
        self.folder.remove(&answer::socket_lock())?;
        let mut log = self.folder.file("server.log")?;
        let begin = log.seek(SeekFrom::End(0)).map_err(|error| self.unusable(error))?;
        let mut child = self.spawn(&log).map_err(|error| self.unusable(error))?;
        let mut wait = Wait::new(PATIENCE);
        loop {
            if child.try_wait().map_err(|error| self.unusable(error))?.is_some() {
                let output = since(&mut log, begin);
                // Another process may have started a server just before it was killed. PostgreSQL lets only one server use
                // the data.
                return if self.joins().await? { Ok(None) } else { Err(self.failure("postgres", &output)) };
            }
            let why = match self.ask().await {
                Answer::Ours { .. } => return Ok(Some(child)),
                Answer::Foreign(data) => return Err(self.foreign(data)),
                Answer::Unready(words) => words,
                Answer::Nobody => "it does not listen".to_owned(),
            };
            if !wait.goes_on(|| format!("the private database does not answer yet: {why}")).await {
                return Err(self.silent(why));
            }
        }
    }

    fn spawn(&self, log: &File) -> std::io::Result<Child> {
        // PostgreSQL reads a comma-separated list; the quotes protect a comma in the path.
        let socket = format!("\"{}\"", self.folder.path().display().to_string().replace('"', "\"\""));
        let mut server = self.binaries.command("postgres");
        server.arg("-D").arg(self.data()).args(["-k", &socket, "-c", "listen_addresses=", "-c", "port=5432"]);
        server.args(["-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "unix_socket_permissions=0700"]);
        server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
        // A process group of its own: the server outlives this process, and must not get the signals of its terminal.
        server.process_group(0).spawn()
    }

    async fn stop(&self, mut child: Option<Child>) -> Result<(), Error> {
        let mut wait = Wait::new(PATIENCE);
        let mut signalled = None;
        while signalled.is_none_or(holder::is_alive) {
            if signalled.is_none() {
                signalled = match self.ask().await {
                    // Another process has stopped it, or it was never ours.
                    Answer::Nobody | Answer::Foreign(_) if Holder::of(&self.data()).is_none() => break,
                    Answer::Nobody | Answer::Foreign(_) | Answer::Unready(_) => None,
                    Answer::Ours { pid: None, .. } => return Err(Error::Elsewhere(self.folder.path().to_owned())),
                    // The session is still open, so the number cannot belong to another process.
                    Answer::Ours { pid: Some(pid), session: _session } => {
                        kill(Pid::from_raw(pid), Signal::SIGINT).map_err(|error| self.unusable(error.into()))?;
                        Some(pid)
                    }
                };
            }
            if !wait.goes_on(|| "the private database stops".to_owned()).await {
                return Err(self.silent("it does not stop".to_owned()));
            }
        }
        // A child stays a zombie until its exit status is read.
        child.as_mut().map(Child::try_wait).transpose().map_err(|error| self.unusable(error))?;
        Ok(())
    }

    fn failure(&self, program: &'static str, output: &str) -> Error {
        let last = output.trim().lines().rev().take(3).collect::<Vec<_>>();
        let output = last.into_iter().rev().collect::<Vec<_>>().join("; ");
        Error::Program { program, directory: self.folder.path().to_owned(), output }
    }
}

/// The PostgreSQL version that created the data; `None` if there is no data.
fn made_by(data: &Path) -> Result<Option<u32>, Error> {
    let is_empty = fs::read_dir(data).map_or(true, |mut entries| entries.next().is_none());
    if is_empty {
        return Ok(None);
    }
    let file = data.join("PG_VERSION");
    let is_file = fs::symlink_metadata(&file).is_ok_and(|metadata| metadata.is_file());
    let text = Some(&file).filter(|_| is_file).and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
    // Before version 10 there are two numbers, such as 9.6.
    let major = text.trim().split('.').next().and_then(|major| major.parse().ok());
    major.map(Some).ok_or(Error::NoVersion(file))
}

/// The log from this position on, or its last part if that is too long.
fn since(log: &mut File, begin: u64) -> String {
    let end = log.seek(SeekFrom::End(0)).unwrap_or(begin);
    let mut words = Vec::new();
    let found = log.seek(SeekFrom::Start(begin.max(end.saturating_sub(LOG_TAIL_BYTES))));
    if found.and_then(|_| log.take(LOG_TAIL_BYTES).read_to_end(&mut words)).is_err() {
        return "its log cannot be read".to_owned();
    }
    String::from_utf8_lossy(&words).into_owned()
}

/// The account that runs the server if we are root.
fn account() -> Result<Option<User>, Error> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let known = |name| User::from_name(name).ok().flatten();
    known("postgres").or_else(|| known("nobody")).map(Some).ok_or(Error::NoAccount)
}
