//! Finds out which server answers on the socket of the private server.
//!
//! A server is ours only if it reports our data directory. The kernel reports the process id of the listener; no other
//! process is ever signalled.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Connection, PgConnection};
use tokio::net::UnixStream;

use super::holder::is_same;
use crate::store::Cause;

/// The port number in the name of the socket; no TCP port is opened.
const PORT: u16 = 5432;

/// Time limit of one question to the server.
const PATIENCE: Duration = Duration::from_secs(5);

/// What answers on the socket.
#[derive(Debug)]
pub(super) enum Answer {
    /// Our server; it runs at least as long as the session.
    Ours {
        /// The listening process; `None` if it runs in another container.
        pid: Option<i32>,
        /// The session that it answered in.
        session: PgConnection,
    },
    /// It keeps other data, in this folder.
    Foreign(PathBuf),
    /// A server that does not accept sessions (yet), with its message.
    Unready(String),
    /// No process listens.
    Nobody,
}

/// The connection options of a database of the server.
pub(super) fn options(folder: &Path) -> PgConnectOptions {
    // Variables such as PGPORT describe another server.
    let options = PgConnectOptions::new_without_pgpass().port(PORT).ssl_mode(PgSslMode::Disable);
    options.socket(folder).username("postgres").database("postgres")
}

/// The files that a server leaves at its socket.
pub(super) fn socket_lock() -> String {
    format!(".s.PGSQL.{PORT}.lock")
}

/// Asks the server at the socket in `folder` whether it keeps `data`.
pub(super) async fn ask(folder: &Path, data: &Path) -> Answer {
    let listener = match UnixStream::connect(folder.join(format!(".s.PGSQL.{PORT}"))).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Answer::Nobody;
        }
        Err(error) => return Answer::Unready(error.to_string()),
    };
    // For a process in another container the kernel reports 0.
    let pid = listener.peer_cred().ok().and_then(|peer| peer.pid()).filter(|pid| *pid > 1);
    drop(listener);
    let asking = Box::pin(async {
        let mut session = PgConnection::connect_with(&options(folder)).await?;
        let kept: String = sqlx::query_scalar("show data_directory").fetch_one(&mut session).await?;
        Ok::<_, sqlx::Error>((PathBuf::from(kept), session))
    });
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(Ok((kept, session))) => match std::fs::metadata(&kept) {
            Ok(folder) if is_same(&folder, data) => Answer::Ours { pid, session },
            _ => Answer::Foreign(kept),
        },
        Ok(Err(error)) => Answer::Unready(Cause::from(error).to_string()),
        Err(_) => Answer::Unready("it does not answer".to_owned()),
    }
}
