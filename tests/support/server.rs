//! The PostgreSQL server of the tests: the one of `DATABASE_URL`, or a private one for this process if it is unset.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sanggwond::store::private_server::PrivateServer;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tempfile::TempDir;
use tokio::sync::{Mutex, OnceCell};

static SERVER: OnceCell<Server> = OnceCell::const_new();

/// A server and how to connect to it.
pub(crate) struct Server {
    /// Connection options of its default database.
    pub(crate) options: PgConnectOptions,
    private: Option<Private>,
}

/// The server of this process.
struct Private {
    folder: PathBuf,
    /// Kept until the end of the process, so that no other process stops the server.
    held: Mutex<Option<PrivateServer>>,
    /// Stops the server when the tests are over.
    _watcher: Child,
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// Sessions are terminated, and all data is written to disk.
    Fast,
    /// Like a crash: the next start runs crash recovery.
    Immediate,
}

/// The server of this process.
pub(crate) async fn server() -> &'static Server {
    SERVER.get_or_init(|| Box::pin(Server::start())).await
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
        let started = PrivateServer::start(&folder, &[]).await.unwrap();
        let options = PgConnectOptions::new_without_pgpass()
            .socket(folder.join("postgres"))
            .username("postgres")
            .database("postgres");
        // The data of the tests need not survive a power failure, and a restart by a test must not wait for a
        // checkpoint.
        let mut connection = PgConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql("alter system set fsync = off").execute(&mut connection).await.unwrap();
        sqlx::raw_sql("select pg_reload_conf()").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let watcher = watch(folder.clone());
        Self { options, private: Some(Private { folder, held: Mutex::new(Some(started)), _watcher: watcher }) }
    }

    /// Whether it is the private server, which a test may restart.
    pub(crate) fn is_private(&self) -> bool {
        self.private.is_some()
    }

    /// The user and the group that the private server runs as.
    pub(crate) fn account(&self) -> (u32, u32) {
        let private = self.private.as_ref().expect("only a private server has its account here");
        let data = std::fs::metadata(private.folder.join("postgres/data")).unwrap();
        (data.uid(), data.gid())
    }

    /// Stops the private server and starts it again.
    pub(crate) async fn restart(&'static self, how: Shutdown) {
        self.private.as_ref().expect("only a private server is restarted").restart(how).await;
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

/// Maximum length, in bytes, of the path of the parent folder. The path of the socket below it must not become too
/// long.
const LONGEST: usize = 50;

/// A folder for a server. Its account can enter the folder, which is therefore not inside the clone, and the path is
/// short enough for a socket.
pub(crate) fn folder_for_a_server() -> TempDir {
    let is_open = |folder: &Path| std::fs::metadata(folder).is_ok_and(|about| about.permissions().mode() & 0o001 != 0);
    let is_fit = |folder: &&PathBuf| folder.as_os_str().len() <= LONGEST && folder.ancestors().all(is_open);
    let folders = [std::env::temp_dir(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")];
    let folder = folders.iter().find(is_fit).expect("a folder for temporary files that every account may enter");
    let folder = tempfile::Builder::new().prefix("sanggwond-tests-").tempdir_in(folder).unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder
}

impl Private {
    async fn restart(&self, how: Shutdown) {
        let mut held = self.held.lock().await;
        if how == Shutdown::Immediate {
            let pid_file = std::fs::read_to_string(self.folder.join("postgres/data/postmaster.pid")).unwrap();
            kill(Pid::from_raw(pid_file.lines().next().unwrap().parse().unwrap()), Signal::SIGQUIT).unwrap();
        }
        held.take().unwrap().leave().await.unwrap();
        *held = Some(PrivateServer::start(&self.folder, &[]).await.unwrap());
    }
}

/// Starts a process that stops the server when this one ends, for whatever reason: then the pipe between them is
/// closed.
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
