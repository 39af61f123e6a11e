//! A primary and its synchronous standby, from the installed programs of PostgreSQL.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tempfile::TempDir;

use super::server::{folder_for_a_server, server};

/// The ports, which name their sockets.
const PORTS: [u16; 2] = [5432, 5433];

/// Both commit only what the other one has, too.
const SYNCHRONOUS: &str = "alter system set synchronous_standby_names = '*'";

/// Two servers, of which one is the primary. They are stopped with their value.
pub(crate) struct Pair {
    folder: TempDir,
    account: (u32, u32),
    /// The index of the primary.
    primary: usize,
}

impl Pair {
    /// Starts both.
    pub(crate) async fn start() -> Self {
        let (folder, account) = (folder_for_a_server(), server().await.account());
        std::os::unix::fs::chown(folder.path(), Some(account.0), Some(account.1)).unwrap();
        let pair = Self { folder, account, primary: 0 };
        pair.run(
            "initdb",
            &["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--pgdata", &pair.data(0)],
        );
        let settings = format!(
            "unix_socket_directories = '{0}'\nlisten_addresses = ''\nfsync = off\nwal_level = replica\nmax_wal_senders = 8\n\
             hot_standby = on\nmax_connections = 40\nshared_buffers = '32MB'\n",
            pair.folder.path().display()
        );
        let file = format!("{}/postgresql.conf", pair.data(0));
        fs::write(&file, fs::read_to_string(&file).unwrap() + &settings).unwrap();
        pair.start_one(0);
        pair.attach(1).await;
        pair
    }

    /// The URL that names both.
    pub(crate) fn url(&self) -> String {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        let [first, second] = PORTS;
        format!("postgres://postgres@{folder}:{first},{folder}:{second}/postgres?target_session_attrs=read-write")
    }

    /// How to connect to the primary, with our schema in the search path.
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.options_of(self.primary).options([("search_path", "sanggwond")])
    }

    /// How to connect to the standby, with our schema in the search path.
    pub(crate) fn options_of_standby(&self) -> PgConnectOptions {
        self.options_of(1 - self.primary).options([("search_path", "sanggwond")])
    }

    /// The URL that names the primary alone.
    pub(crate) fn url_of_primary(&self) -> String {
        self.options_of(self.primary).to_url_lossy().to_string()
    }

    /// The URL that names the standby alone.
    pub(crate) fn url_of_standby(&self) -> String {
        self.options_of(1 - self.primary).to_url_lossy().to_string()
    }

    fn options_of(&self, index: usize) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass().socket(self.folder.path()).port(PORTS[index]);
        options.username("postgres").database("postgres")
    }

    /// Kills all processes of the primary: its connections are closed.
    pub(crate) fn kill(&self) {
        self.signal(self.primary, Signal::SIGKILL);
    }

    /// Stops all processes of the primary, as when its machine has lost its power: nothing closes its connections.
    pub(crate) fn freeze(&self) {
        self.signal(self.primary, Signal::SIGSTOP);
    }

    fn signal(&self, index: usize, signal: Signal) {
        // Without the file it does not run.
        let Ok(file) = fs::read_to_string(format!("{}/postmaster.pid", self.data(index))) else { return };
        let postmaster: i32 = file.lines().next().unwrap().parse().unwrap();
        let children = children_of(postmaster);
        for process in std::iter::once(postmaster).chain(children) {
            // A child may have ended by itself.
            kill(Pid::from_raw(process), signal).ok();
        }
    }

    /// Ends the replication. The primary runs on, and its commits wait for the standby.
    pub(crate) async fn cut_off(&self) {
        let standby = 1 - self.primary;
        self.sql(standby, "alter system set primary_conninfo = ''").await;
        self.sql(standby, "select pg_reload_conf()").await;
    }

    /// What the primary before, which still runs, says.
    pub(crate) async fn value_on_replaced(&self, sql: &'static str) -> bool {
        let mut connection = PgConnection::connect_with(&self.options_of(1 - self.primary)).await.unwrap();
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
    }

    /// Makes the standby the primary.
    pub(crate) async fn promote(&mut self) {
        self.primary = 1 - self.primary;
        self.sql(self.primary, "alter system set synchronous_standby_names = ''").await;
        self.sql(self.primary, "select pg_reload_conf()").await;
        self.sql(self.primary, "select pg_promote()").await;
    }

    /// Builds the standby anew from the primary.
    pub(crate) async fn rebuild(&self) {
        self.attach(1 - self.primary).await;
    }

    /// Makes this server a standby with a fresh copy, and lets the primary wait for it.
    async fn attach(&self, standby: usize) {
        if fs::exists(self.data(standby)).unwrap() {
            self.control(standby, "stop", &["-m", "immediate"]);
            fs::remove_dir_all(self.data(standby)).unwrap();
        }
        let (folder, port) = (self.folder.path().display().to_string(), PORTS[self.primary].to_string());
        let copy =
            ["--host", &folder, "--port", &port, "--username=postgres", "--checkpoint=fast", "--write-recovery-conf"];
        let target = ["--pgdata", &self.data(standby), "--no-sync"];
        self.run("pg_basebackup", &[copy.as_slice(), target.as_slice()].concat());
        self.start_one(standby);
        self.sql(self.primary, SYNCHRONOUS).await;
        self.sql(self.primary, "select pg_reload_conf()").await;
        let mut connection = PgConnection::connect_with(&self.options_of(self.primary)).await.unwrap();
        let is_synchronous = "select exists (select from pg_stat_replication where sync_state = 'sync')";
        while !sqlx::query_scalar::<_, bool>(is_synchronous).fetch_one(&mut connection).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        connection.close().await.unwrap();
    }

    fn start_one(&self, index: usize) {
        let options = format!("-p {}", PORTS[index]);
        self.control(index, "start", &["-w", "-o", &options, "-l", &format!("{}.log", self.data(index))]);
    }

    async fn sql(&self, index: usize, sql: &str) {
        let mut connection = PgConnection::connect_with(&self.options_of(index)).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    fn control(&self, index: usize, action: &str, arguments: &[&str]) {
        let data = self.data(index);
        let mut command = self.command("pg_ctl");
        let done = command.args([action, "--pgdata", &data]).args(arguments).status().unwrap();
        // A server that was killed cannot be stopped.
        assert!(done.success() || action == "stop", "pg_ctl {action}: {}", self.log(index));
    }

    fn log(&self, index: usize) -> String {
        fs::read_to_string(format!("{}.log", self.data(index))).unwrap_or_default()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let done = self.command(program).args(arguments).output().unwrap();
        assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// One of the programs, run by the account of the servers, because the server refuses to run as root.
    fn command(&self, program: &str) -> Command {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let folder = versions.map(|version| version.path().join("bin")).max();
        let program = folder.map_or_else(|| PathBuf::from(program), |folder| folder.join(program));
        let mut command = Command::new(program);
        command.current_dir("/").uid(self.account.0).gid(self.account.1).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn data(&self, index: usize) -> String {
        self.folder.path().join(["a", "b"][index]).display().to_string()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for index in [0, 1] {
            self.signal(index, Signal::SIGCONT);
            self.control(index, "stop", &["-m", "immediate"]);
        }
    }
}

/// The processes whose parent is this one.
fn children_of(parent: i32) -> Vec<i32> {
    let is_child = |process: &i32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // The name of the program, in brackets, may have spaces.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        after_name.split_whitespace().nth(1) == Some(parent.to_string().as_str())
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_child).collect()
}
