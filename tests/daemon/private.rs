//! The private PostgreSQL server: the first process starts it, the last one stops it, and after a kill the next one
//! adopts it.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, geteuid, mkfifo};
use sanggwond::store::private_server::PrivateServer;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use crate::support::program::Program;
use crate::support::server::folder_for_a_server;
use crate::support::{KEY, Stage, skip};

fn program(stage: &Stage, arguments: &[&str], home: &Path) -> Program {
    stage.program(arguments).unset("DATABASE_URL").set("SANGGWOND_DATABASE__DIRECTORY", home.to_str().unwrap())
}

/// A folder that contains a database, without a running server.
async fn made(stage: &Stage) -> TempDir {
    let home = folder_for_a_server();
    program(stage, &["migrate"], home.path()).finish().await.expect_code(0);
    assert!(!is_running(home.path()));
    home
}

/// The process id in the pid file of a server.
fn pid(home: &Path) -> i32 {
    let file = std::fs::read_to_string(home.join("postgres/data/postmaster.pid")).unwrap();
    file.lines().next().unwrap().parse().unwrap()
}

/// Whether a server answers at the socket in a folder.
async fn answers(folder: &Path) -> bool {
    let options = PgConnectOptions::new_without_pgpass().socket(folder).username("postgres").database("postgres");
    PgConnection::connect_with(&options).await.is_ok()
}

/// A server started by hand: it uses the data in `home` and listens in `folder`.
fn started_by_hand(binary: &Path, home: &Path, folder: &Path) -> Child {
    let data = home.join("postgres/data");
    let mut server = Command::new(binary);
    server.arg("-D").arg(&data).arg("-k").arg(folder).args(["-c", "listen_addresses="]);
    server
        .current_dir("/")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .uid(std::fs::metadata(&data).unwrap().uid())
        .spawn()
        .unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Output of a tool about the process of a server, run as the account of the server: in a container, root may not read
/// it.
fn seen_by_its_account(home: &Path, tool: &str, what: &str) -> String {
    let owner = std::fs::metadata(home.join("postgres/data")).unwrap();
    let mut command = Command::new(tool);
    command.arg(format!("/proc/{}/{what}", pid(home))).uid(owner.uid()).gid(owner.gid());
    let seen = command.output().unwrap();
    assert!(seen.status.success(), "{}", String::from_utf8_lossy(&seen.stderr));
    String::from_utf8(seen.stdout).unwrap()
}

/// Where this process looks for programs, and so for PostgreSQL.
fn path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// The executable of a running server.
fn binary(home: &Path) -> PathBuf {
    PathBuf::from(seen_by_its_account(home, "readlink", "exe").trim_end())
}

fn is_running(home: &Path) -> bool {
    home.join("postgres/data/postmaster.pid").exists()
}

#[tokio::test]
async fn the_last_process_stops_the_server_and_the_data_is_kept() {
    let (stage, home) = (Stage::small().await, folder_for_a_server());
    stage.standin.hold();
    let first = program(&stage, &["crawl"], home.path()).start();
    stage.standin.reached(5).await;
    assert_eq!(std::fs::metadata(home.path().join("postgres")).unwrap().permissions().mode() & 0o777, 0o700);

    program(&stage, &["runs"], home.path()).finish().await.expect_code(0);
    assert!(is_running(home.path()), "the first one still works with it");
    stage.standin.release();
    first.finish().await.expect_code(0);

    assert!(!is_running(home.path()));
    let runs = program(&stage, &["runs"], home.path()).finish().await.expect_code(0);
    assert!(runs.stdout.contains("all 6 cells done"), "{}", runs.stdout);
    assert!(!is_running(home.path()));
}

#[tokio::test]
async fn a_private_server_left_behind_by_a_kill_is_used_and_stopped() {
    let (stage, home) = (Stage::small().await, folder_for_a_server());
    stage.standin.hold();
    let first = program(&stage, &["crawl"], home.path()).start();
    stage.standin.reached(5).await;
    first.kill().await;
    assert!(is_running(home.path()));
    stage.standin.release();

    let resumed = program(&stage, &["crawl"], home.path()).finish().await.expect_code(0);

    assert!(resumed.stdout.contains("run 1 succeeded"), "{}", resumed.stdout);
    assert!(!is_running(home.path()));
}

#[tokio::test]
async fn a_pid_file_with_a_process_of_another_user_is_stale() {
    let stage = Stage::small().await;
    let (home, others) = (made(&stage).await, folder_for_a_server());
    let other = PrivateServer::start(others.path(), &path()).await.unwrap();
    let folder = home.path().join("postgres");
    // The process runs as the account of the server, because PostgreSQL takes any process of its account for a server.
    let mut sleeper = Command::new("sleep").arg("600").uid(std::fs::metadata(&folder).unwrap().uid()).spawn().unwrap();
    let files = [
        std::fs::read_to_string(others.path().join("postgres/data/postmaster.pid")).unwrap(),
        format!("{}\n", pid(others.path())),
        format!("{}\n", sleeper.id()),
        format!("-{}\n", sleeper.id()),
        format!("{}\n", std::process::id()),
        "1\n".to_owned(),
        "0\n".to_owned(),
        "99999999999999\n".to_owned(),
        "no number\n".to_owned(),
        String::new(),
    ];

    for text in files {
        std::fs::write(folder.join("data/postmaster.pid"), &text).unwrap();
        std::fs::write(folder.join(".s.PGSQL.5432.lock"), &text).unwrap();
        program(&stage, &["runs"], home.path()).finish().await.expect_code(0);

        assert!(!is_running(home.path()), "it was stopped: {text:?}");
        assert!(answers(&others.path().join("postgres")).await, "the other server was stopped: {text:?}");
        assert!(sleeper.try_wait().unwrap().is_none(), "the other process was ended: {text:?}");
    }
    std::fs::create_dir(folder.join("data/postmaster.pid")).unwrap();
    let refused = program(&stage, &["runs"], home.path()).finish().await.expect_code(1);
    assert!(refused.stderr.contains("postmaster.pid: it is a folder"), "{}", refused.stderr);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    other.leave().await.unwrap();
}

#[tokio::test]
async fn a_server_with_other_data_at_our_socket_is_refused_and_not_stopped() {
    let stage = Stage::small().await;
    let (home, others) = (made(&stage).await, folder_for_a_server());
    let other = PrivateServer::start(others.path(), &path()).await.unwrap();
    let binary = binary(others.path());
    other.leave().await.unwrap();
    let folder = home.path().join("postgres");
    let mut other = started_by_hand(&binary, others.path(), &folder);
    while !answers(&folder).await {}

    let refused = program(&stage, &["runs"], home.path()).finish().await.expect_code(1);

    let sentence = format!("keeps its data in {}", others.path().join("postgres/data").display());
    assert!(refused.stderr.contains(&sentence), "{}", refused.stderr);
    assert!(answers(&folder).await, "it was stopped");
    kill(Pid::from_raw(other.id().cast_signed()), Signal::SIGINT).unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn a_recovering_private_server_is_awaited_and_stopped_at_the_end() {
    let stage = Stage::small().await;
    let home = made(&stage).await;
    let server = PrivateServer::start(home.path(), &path()).await.unwrap();
    let (binary, folder) = (binary(home.path()), home.path().join("postgres"));
    kill(Pid::from_raw(pid(home.path())), Signal::SIGQUIT).unwrap();
    server.leave().await.unwrap();
    let mut recovering = started_by_hand(&binary, home.path(), &folder);

    program(&stage, &["runs"], home.path()).finish().await.expect_code(0);

    assert!(recovering.wait().unwrap().success());
    assert!(!is_running(home.path()));
}

#[tokio::test]
async fn a_server_that_another_process_started_an_instant_before_is_joined() {
    let (stage, programs) = (Stage::small().await, folder_for_a_server());
    let home = made(&stage).await;
    let server = PrivateServer::start(home.path(), &path()).await.unwrap();
    let real = binary(home.path());
    server.leave().await.unwrap();
    // Ours comes second: it begins only once the other one has its pid file.
    let script = format!(
        "#!/bin/sh\nserver={real}\ncase $1 in --version) exec $server --version ;; esac\n$server \"$@\" \
         </dev/null >/dev/null 2>&1 &\nuntil [ -s '{home}/postgres/data/postmaster.pid' ]; do :; done\nexec $server \"$@\"\n",
        real = real.display(),
        home = home.path().display(),
    );
    for (name, text) in [("postgres", script.as_str()), ("initdb", "#!/bin/sh\nexit 1\n")] {
        std::fs::write(programs.path().join(name), text).unwrap();
        set_mode(&programs.path().join(name), 0o755);
    }
    set_mode(programs.path(), 0o755);
    let path = format!("{}:/usr/bin:/bin", programs.path().display());

    let listed = program(&stage, &["runs"], home.path()).set("PATH", &path).finish().await.expect_code(0);

    let log = std::fs::read_to_string(home.path().join("postgres/server.log")).unwrap();
    assert!(log.contains("postmaster.pid\" already exists"), "ours was not the second: {log}");
    assert!(listed.stderr.is_empty() && !is_running(home.path()), "{}", listed.stderr);
}

#[tokio::test]
async fn processes_that_start_at_the_same_instant_share_one_server() {
    let (stage, home) = (Stage::small().await, folder_for_a_server());
    let runs = || program(&stage, &["runs"], home.path()).finish();

    let finished = tokio::join!(runs(), runs(), runs());

    for finished in [finished.0, finished.1, finished.2] {
        // The server and the database exist, and only the tables are missing.
        let finished = finished.expect_code(1);
        assert!(finished.stderr.contains("run `sanggwond migrate`"), "{}", finished.stderr);
    }
    assert!(!is_running(home.path()));
}

#[tokio::test]
async fn the_private_server_ignores_variables_for_other_servers() {
    let (stage, home) = (Stage::small().await, folder_for_a_server());
    let migrate = program(&stage, &["migrate"], home.path());

    migrate.set("PGPORT", "1").set("PGSSLMODE", "require").set("PGHOST", "nowhere").finish().await.expect_code(0);
}

#[tokio::test]
async fn data_of_another_version_is_refused_with_both_versions() {
    let (stage, home) = (Stage::small().await, folder_for_a_server());
    let data = home.path().join("postgres/data");
    std::fs::create_dir_all(&data).unwrap();
    set_mode(&home.path().join("postgres"), 0o700);
    let account = made(&stage).await;
    let owner = std::fs::metadata(account.path().join("postgres")).unwrap();
    chown(home.path().join("postgres"), Some(owner.uid()), Some(owner.gid())).unwrap();

    for (version, words) in [
        ("9.6\n", "was made by PostgreSQL 9, whose server binaries are not installed"),
        ("99\n", "was made by PostgreSQL 99, whose server binaries are not installed"),
        ("none\n", "PG_VERSION names no version of PostgreSQL"),
        ("", "PG_VERSION names no version of PostgreSQL"),
    ] {
        std::fs::write(data.join("PG_VERSION"), version).unwrap();
        let refused = program(&stage, &["runs"], home.path()).finish().await.expect_code(1);

        assert!(refused.stderr.contains(words), "{version:?}: {}", refused.stderr);
    }
}

#[tokio::test]
async fn the_server_inherits_no_secret() {
    let (stage, home) = (Stage::small().await, folder_for_a_server());
    stage.standin.hold();
    let crawl = program(&stage, &["crawl"], home.path()).set("OF_THE_PARENT", "canary-of-the-parent");
    let crawl = crawl.set("NOTIFY_SOCKET", "/nowhere").start();
    stage.standin.reached(5).await;

    let variables = seen_by_its_account(home.path(), "cat", "environ");

    let names: Vec<&str> = variables.split('\0').filter_map(|variable| Some(variable.split_once('=')?.0)).collect();
    assert!(names.contains(&"LC_ALL") && !variables.contains(KEY), "{variables}");
    let known = ["LC_ALL", "PATH"];
    let of_postgres = |name: &&str| known.contains(name) || name.starts_with("PG");
    assert_eq!(names.iter().filter(|name| !of_postgres(name)).count(), 0, "{names:?}");
    stage.standin.release();
    crawl.finish().await.expect_code(0);
}

#[tokio::test]
async fn no_program_of_the_server_inherits_a_secret() {
    let (stage, home, programs) = (Stage::small().await, folder_for_a_server(), folder_for_a_server());
    set_mode(programs.path(), 0o777);
    for name in ["postgres", "initdb"] {
        let file = programs.path().join(name);
        std::fs::write(&file, "#!/bin/sh\nenv >>\"$0.env\"\necho postgres name 99.1\nexit 0\n").unwrap();
        set_mode(&file, 0o755);
    }
    let path = format!("{}:/usr/bin:/bin", programs.path().display());

    let migrate = program(&stage, &["migrate"], home.path()).set("PATH", &path).set("OF_THE_PARENT", "canary");
    migrate.finish().await.expect_code(1);

    for name in ["postgres.env", "initdb.env"] {
        let variables = std::fs::read_to_string(programs.path().join(name)).unwrap();
        assert!(variables.contains("LC_ALL=C"), "{variables}");
        assert!(!variables.contains(KEY) && !variables.contains("canary") && !variables.contains("SANGGWOND_"));
    }
}

/// Expects that no server starts in `home`, and returns the message.
async fn refusal(stage: &Stage, home: &Path) -> String {
    program(stage, &["runs"], home).finish().await.expect_code(1).stderr
}

#[tokio::test]
async fn a_folder_that_others_may_write_is_refused_and_not_changed() {
    let stage = Stage::small().await;
    let (victim, home) = (folder_for_a_server(), folder_for_a_server());
    let folder = home.path().join("postgres");

    symlink(victim.path(), &folder).unwrap();
    let linked = refusal(&stage, home.path()).await;
    assert!(
        linked.contains(&format!("{}: it is a symbolic link; remove the link (rm '", folder.display())),
        "{linked}"
    );
    assert_eq!(std::fs::metadata(victim.path()).unwrap().uid(), geteuid().as_raw(), "it was given away");
    assert_eq!(std::fs::read_dir(victim.path()).unwrap().count(), 0);
    std::fs::remove_file(&folder).unwrap();

    std::fs::create_dir(&folder).unwrap();
    for mode in [0o777, 0o750, 0o701, 0o1777] {
        set_mode(&folder, mode);
        let open = refusal(&stage, home.path()).await;
        let sentence = format!("others may enter it (mode {mode:04o}); close it (chmod 700 '{}')", folder.display());
        assert!(open.contains(&sentence), "{open}");
    }
    std::fs::remove_dir(&folder).unwrap();

    set_mode(home.path(), 0o777);
    let replaceable = refusal(&stage, home.path()).await;
    let sentence = format!("may be written by others (mode 0777); close it (chmod go-w '{}')", home.path().display());
    assert!(replaceable.contains(&sentence), "{replaceable}");
    let below = refusal(&stage, &home.path().join("a/b")).await;
    assert!(below.contains(&sentence) && !home.path().join("a").exists(), "{below}");

    // With the sticky bit, no user can replace files of another user.
    set_mode(home.path(), 0o1777);
    program(&stage, &["migrate"], home.path()).finish().await.expect_code(0);
    let link = victim.path().join("link");
    symlink(home.path(), &link).unwrap();
    program(&stage, &["runs"], &link).finish().await.expect_code(0);
}

#[tokio::test]
async fn a_folder_of_another_user_is_refused() {
    let stage = Stage::small().await;
    if !geteuid().is_root() {
        return skip("a_folder_of_another_user_is_refused", "only root can give folders away");
    }
    let home = folder_for_a_server();
    let folder = home.path().join("postgres");
    std::fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o700);

    chown(&folder, Some(1), Some(1)).unwrap();
    let foreign = refusal(&stage, home.path()).await;
    assert!(foreign.contains(&format!("{}: it belongs to daemon, not to ", folder.display())), "{foreign}");
    assert!(foreign.contains("chown -R ") && foreign.contains("set database.directory"), "{foreign}");
    chown(&folder, Some(0), Some(0)).unwrap();
    std::fs::write(folder.join("of_root"), "").unwrap();
    let full = refusal(&stage, home.path()).await;
    assert!(full.contains("it belongs to root, not to "), "what root keeps there is not given away: {full}");
    std::fs::remove_dir_all(&folder).unwrap();
    chown(home.path(), Some(1), Some(1)).unwrap();
    let above = refusal(&stage, home.path()).await;
    assert!(above.contains("belongs to daemon, who could replace what is below; set database.directory"), "{above}");
}

#[tokio::test]
async fn a_link_or_pipe_in_the_folder_is_refused_without_a_wait() {
    let stage = Stage::small().await;
    let (home, victim) = (made(&stage).await, folder_for_a_server());
    let folder = home.path().join("postgres");
    let target = victim.path().join("passwd");
    std::fs::write(&target, "root").unwrap();

    for name in ["server.log", "start.lock", "users.lock"] {
        let file = folder.join(name);
        std::fs::remove_file(&file).unwrap();
        symlink(&target, &file).unwrap();
        let linked = refusal(&stage, home.path()).await;
        assert!(linked.contains(&format!("{}: it is a symbolic link; move it away", file.display())), "{linked}");
        std::fs::remove_file(&file).unwrap();
        mkfifo(&file, Mode::S_IRWXU).unwrap();
        let pipe = refusal(&stage, home.path()).await;
        assert!(pipe.contains(&format!("{}: it is not a regular file; move it away", file.display())), "{pipe}");
        std::fs::remove_file(&file).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "root");
    let (data, elsewhere) = (folder.join("data"), victim.path().join("data"));
    std::fs::rename(&data, &elsewhere).unwrap();
    symlink(&elsewhere, &data).unwrap();
    let linked = refusal(&stage, home.path()).await;
    assert!(linked.contains(&format!("{}: it is a symbolic link", data.display())), "{linked}");
}
