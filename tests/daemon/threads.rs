//! Too few threads: an error message at the start, and no failure later.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::unistd::geteuid;

use crate::support::program::{Finished, Program};
use crate::support::{Stage, skip};

/// A user without other processes.
const USER: &str = "61234";

/// Runs a program with this limit of threads. The limit does not apply to root, so root switches to another user, who
/// has a copy of the binary. Any other user already has more processes than the limit.
async fn limited(stage: &Stage, program: Program, threads: u32) -> Finished {
    let limit = format!("--nproc={threads}");
    if !geteuid().is_root() {
        return program.through(&["prlimit", &limit]).finish().await;
    }
    let everybody = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    everybody(stage.folder.path(), 0o755);
    let (user, group) = (format!("--reuid={USER}"), format!("--regid={USER}"));
    program.through(&["setpriv", &user, &group, "--clear-groups", "prlimit", &limit]).finish().await
}

/// A copy of the binary that every user may run.
fn copied(stage: &Stage, arguments: &[&str]) -> Program {
    let copy = stage.folder.path().join("sanggwond");
    if !copy.exists() {
        std::fs::copy(env!("CARGO_BIN_EXE_sanggwond"), &copy).unwrap();
    }
    stage.program(arguments).binary(&copy)
}

#[tokio::test]
async fn too_few_threads_are_an_error_with_exit_code_1() {
    let stage = Stage::small().await;

    for arguments in [&["next"][..], &["crawl"], &["daemon"]] {
        let finished = limited(&stage, copied(&stage, arguments), 4).await.expect_code(1);

        assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
        assert!(finished.stderr.starts_with("sanggwond: "), "{}", finished.stderr);
        assert!(finished.stderr.contains(" threads are needed but only "), "{}", finished.stderr);
        assert!(finished.stderr.contains("ulimit -u, TasksMax="), "{}", finished.stderr);
    }
    assert_eq!(stage.standin.requests(), 0);
}

#[tokio::test]
async fn no_command_needs_more_threads_than_at_its_start() {
    if !geteuid().is_root() {
        let name = "no_command_needs_more_threads_than_at_its_start";
        return skip(name, "only root can become a user without other processes");
    }
    let stage = Stage::small().await;
    // A host name is resolved in a separate thread. Nothing listens on port 1.
    let program = copied(&stage, &["runs"]).set("DATABASE_URL", "postgres://localhost:1/places");

    // The main thread, at most four worker threads, eight for blocking calls, and four others.
    let finished = limited(&stage, program, 17).await.expect_code(1);

    assert!(finished.stderr.contains("could not reach the database places at localhost:1"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("thread"), "{}", finished.stderr);
}
