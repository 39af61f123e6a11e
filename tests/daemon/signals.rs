//! Signals other than SIGTERM, and a terminal that is closed.

use nix::sys::signal::Signal;

use crate::support::Stage;
use crate::support::program::Program;

/// The program with the default actions for SIGHUP and SIGQUIT, as a shell starts it, even if the tests run under
/// nohup.
fn with_hangups(program: Program) -> Program {
    program.through(&["env", "--default-signal=HUP,QUIT"])
}

#[tokio::test]
async fn sighup_and_sigquit_stop_a_run_like_sigterm() {
    for (arguments, signal, code) in [
        (&[][..], Signal::SIGHUP, 0),
        (&["crawl"], Signal::SIGHUP, 4),
        (&[], Signal::SIGQUIT, 0),
        (&["crawl"], Signal::SIGQUIT, 4),
    ] {
        let stage = Stage::small().await;
        stage.standin.hold();
        let mut running = with_hangups(stage.program(arguments)).start();
        stage.standin.reached(5).await;
        running.signal(signal);
        running.says(&format!("{signal} received, stopping")).await;
        stage.standin.release();
        running.finish().await.expect_code(code);

        let row = "select format('%s: %s', status, reason) from crawl_run";
        assert_eq!(stage.value::<String>(row).await, "interrupted: stopped by a signal", "{arguments:?} {signal}");
        assert_eq!(stage.standin.requests(), 5, "no request after the signal");
    }
}

#[tokio::test]
async fn a_sighup_never_counts_as_the_second_signal() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let mut running = with_hangups(stage.program(&["crawl"])).start();
    stage.standin.reached(5).await;

    // A service manager may send both signals, and a closing terminal sends several.
    running.signal(Signal::SIGTERM);
    running.says("SIGTERM received").await;
    running.signal(Signal::SIGHUP);
    running.says("SIGHUP received").await;
    running.signal(Signal::SIGHUP);
    running.says_times("SIGHUP received", 2).await;
    stage.standin.release();
    let finished = running.finish().await.expect_code(4);

    assert!(finished.stdout.contains("run 1 interrupted (stopped by a signal)"), "{}", finished.stdout);
}

#[tokio::test]
async fn a_second_sigquit_ends_the_program_immediately() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let mut running = with_hangups(stage.program(&["crawl"])).start();
    stage.standin.reached(5).await;

    running.signal(Signal::SIGQUIT);
    running.says("SIGQUIT received").await;
    running.signal(Signal::SIGQUIT);
    running.finish().await.expect_code(4);

    assert_eq!(stage.value::<String>("select status from crawl_run").await, "running", "the next holder puts it right");
}

#[tokio::test]
async fn a_sighup_is_ignored_under_nohup() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let running = stage.program(&["crawl"]).through(&["nohup"]).start();
    stage.standin.reached(5).await;

    running.signal(Signal::SIGHUP);
    stage.standin.release();
    let finished = running.finish().await.expect_code(0);

    assert!(!finished.stderr.contains("SIGHUP"), "{}", finished.stderr);
    assert_eq!(stage.value::<String>("select status from crawl_run").await, "succeeded");
}

#[tokio::test]
async fn a_signal_ends_a_read_only_command() {
    let stage = Stage::small().await;
    stage.crawl().await;
    for arguments in [&["runs"][..], &["runs", "1"], &["changes"], &["report"], &["export", "--format", "csv"]] {
        let mut holder = stage.pool().begin().await.unwrap();
        sqlx::raw_sql("lock table crawl_run, place in access exclusive mode").execute(&mut *holder).await.unwrap();
        let waiting = stage.program(arguments).start();
        stage.blocked_by_a_lock().await;

        let finished = waiting.terminate().await;

        assert_eq!(finished.status.code(), Some(4), "{arguments:?}: {}", finished.stderr);
        holder.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn a_check_that_a_signal_stops_exits_with_code_4() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    stage.standin.hold();
    let running = stage.program(&["check"]).set("SANGGWOND_KAKAO__TIMEOUT", "1h").start();
    stage.standin.reached(1).await;

    let finished = running.terminate().await.expect_code(4);

    assert!(finished.stdout.contains("FAILED  key: "), "{}", finished.stdout);
}
