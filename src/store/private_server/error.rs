//! Errors of the private server. Each message names the remedy.

use std::io;
use std::path::PathBuf;

/// Why the private server cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server is installed.
    #[error(
        "no database.url is set and no PostgreSQL server (14 or later) is installed to run one privately; set \
         DATABASE_URL, or install one (Debian: apt-get install postgresql)"
    )]
    NotInstalled,
    /// The data needs another version.
    #[error("the data in {0} was made by PostgreSQL {1}, whose server binaries are not installed")]
    OtherVersion(PathBuf, u32),
    /// The data names no version.
    #[error("{0} names no version of PostgreSQL, so the folder does not hold a database; restore it, or move it away")]
    NoVersion(PathBuf),
    /// Root may not run the server, and there is no other account for it.
    #[error("the private database cannot run as root, and there is no account postgres or nobody")]
    NoAccount,
    /// A path is too long for a socket.
    #[error("{0} is too long a path for a unix socket; set database.directory to a shorter one")]
    LongPath(PathBuf),
    /// A folder or file cannot be used.
    #[error("could not use {0} for the private database")]
    Folder(PathBuf, #[source] io::Error),
    /// Somebody else could read, change or replace the data.
    #[error("the private database cannot use {path}: {fault}; {remedy}")]
    Unsafe {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
        /// What the operator can do.
        remedy: String,
    },
    /// Another process has been starting or stopping the server for too long.
    #[error(
        "{0} has been locked for 10 min by another process that starts or stops the private database; stop that process"
    )]
    Locked(PathBuf),
    /// The socket belongs to a server with other data.
    #[error(
        "the PostgreSQL server at the socket in {folder} keeps its data in {data}, so it is not the private one; stop \
         it, or set database.directory to another folder"
    )]
    Foreign {
        /// The folder of the socket.
        folder: PathBuf,
        /// Where that server keeps its data.
        data: PathBuf,
    },
    /// The server does not become ready.
    #[error("the private database in {folder} does not become ready: {why}; its log is {folder}/server.log")]
    Silent {
        /// The folder of the socket.
        folder: PathBuf,
        /// Its last state.
        why: String,
    },
    /// The server cannot be signalled from here.
    #[error("the private database in {0} runs in another container, and can be stopped only there")]
    Elsewhere(PathBuf),
    /// A program failed.
    #[error("{program} failed for the private database in {directory}: {output}")]
    Program {
        /// Which.
        program: &'static str,
        /// Where.
        directory: PathBuf,
        /// The end of its output.
        output: String,
    },
}
