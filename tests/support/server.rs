//! The PostgreSQL server of the tests: the one of `DATABASE_URL`, else a private one for this process.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::Mutex;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sanggwond::store::private_server::PrivateServer;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tempfile::TempDir;
use tokio::sync::OnceCell;

static SERVER: OnceCell<Server> = OnceCell::const_new();

/// A server and how it is reached.
pub(crate) struct Server {
    /// A database of it.
    pub(crate) options: PgConnectOptions,
    private: Option<Private>,
}

/// The server of this process.
struct Private {
    folder: PathBuf,
    /// Held to the end of the process: nobody else may stop the server.
    held: Mutex<Option<PrivateServer>>,
    /// Stops the server when the tests are over.
    _watcher: Child,
}

/// How a server goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// Sessions are ended, and all is written.
    Fast,
    /// As in a crash: the next start recovers.
    Immediate,
}

/// The server of this process.
pub(crate) async fn server() -> &'static Server {
    SERVER.get_or_init(Server::start).await
}

impl Server {
    async fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the tests have no configuration")]
        match std::env::var("DATABASE_URL") {
            Ok(url) => Self { options: PgConnectOptions::from_str(&url).unwrap(), private: None },
            Err(_) => Self::start_private().await,
        }
    }

    async fn start_private() -> Self {
        let folder = folder_for_a_server().keep();
        let at = folder.clone();
        let started = tokio::task::spawn_blocking(move || PrivateServer::start(&at, &[])).await.unwrap().unwrap();
        let options = PgConnectOptions::new_without_pgpass()
            .socket(folder.join("postgres"))
            .username("postgres")
            .database("postgres");
        // The tests' data need not survive a power cut, and a restart by a test must not wait for a checkpoint.
        let mut connection = PgConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql("alter system set fsync = off").execute(&mut connection).await.unwrap();
        sqlx::raw_sql("select pg_reload_conf()").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let watcher = watch(folder.clone());
        Self { options, private: Some(Private { folder, held: Mutex::new(Some(started)), _watcher: watcher }) }
    }

    /// Whether it is ours to restart.
    pub(crate) fn is_private(&self) -> bool {
        self.private.is_some()
    }

    /// Takes the private server down and starts it again.
    pub(crate) async fn restart(&'static self, how: Shutdown) {
        let private = self.private.as_ref().expect("only a private server is restarted");
        tokio::task::spawn_blocking(move || private.restart(how)).await.unwrap();
    }

    /// The URL of a database of this server.
    pub(crate) fn url(&self, database: &str) -> String {
        self.options.clone().database(database).to_url_lossy().to_string()
    }

    /// The URL of a database of this server for a role without a password.
    pub(crate) fn url_as(&self, role: &str, database: &str) -> String {
        self.options.clone().username(role).database(database).to_url_lossy().to_string()
    }
}

/// A folder that the account of a server may enter, so not within the clone.
pub(crate) fn folder_for_a_server() -> TempDir {
    let folder = tempfile::Builder::new().prefix("sanggwond-tests-").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder
}

impl Private {
    fn restart(&self, how: Shutdown) {
        let mut held = self.held.lock().unwrap();
        if how == Shutdown::Immediate {
            let pid_file = std::fs::read_to_string(self.folder.join("postgres/data/postmaster.pid")).unwrap();
            kill(Pid::from_raw(pid_file.lines().next().unwrap().parse().unwrap()), Signal::SIGQUIT).unwrap();
        }
        held.take().unwrap().leave().unwrap();
        *held = Some(PrivateServer::start(&self.folder, &[]).unwrap());
    }
}

/// Stops the server when this process ends, however it ends: then its end of the pipe is closed.
fn watch(folder: PathBuf) -> Child {
    let script = r#"cat >/dev/null; kill -INT "$(head -n 1 "$0/postgres/data/postmaster.pid")"
        while [ -e "$0/postgres/data/postmaster.pid" ]; do sleep 0.1; done; rm -rf "$0""#;
    Command::new("setsid")
        .args(["sh", "-c", script])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
