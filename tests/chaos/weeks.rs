//! A daemon with a clock that the test sets.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use nix::sys::signal::Signal;
use sanggwond::clock;

use crate::support::Stage;
use crate::support::program::Running;

/// The log text at the end of a run.
const ENDED: &str = "ended as succeeded";

/// The log text when nothing is due.
const IDLE: &str = "nothing is due";

/// A daemon and its clock.
pub(crate) struct Daemon<'a> {
    stage: &'a Stage,
    file: PathBuf,
    running: Running,
    /// The number of runs that this process has finished.
    ended: usize,
}

impl<'a> Daemon<'a> {
    /// Starts a daemon at an instant.
    pub(crate) fn start(stage: &'a Stage, instant: DateTime<Utc>) -> Self {
        let file = stage.folder.path().join("clock");
        set(&file, instant);
        let running = launch(stage, &file);
        Self { stage, file, running, ended: 0 }
    }

    /// Sets the clock.
    pub(crate) fn step(&self, instant: DateTime<Utc>) {
        set(&self.file, instant);
    }

    /// Waits for the end of the next run, and until nothing else is due.
    pub(crate) async fn runs(&mut self) {
        self.ended += 1;
        self.running.says_times(ENDED, self.ended).await;
        self.idles().await;
    }

    /// Waits until the daemon has logged twice that nothing is due.
    pub(crate) async fn idles(&mut self) {
        let idle = self.running.said(IDLE);
        self.running.says_times(IDLE, idle + 2).await;
    }

    /// Sets the clock while the daemon is suspended.
    pub(crate) async fn sleep_until(&self, instant: DateTime<Utc>) {
        self.running.signal(Signal::SIGSTOP);
        // A suspended process cannot confirm that it is suspended, so this waits.
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.step(instant);
        self.running.signal(Signal::SIGCONT);
    }

    /// Ends the daemon and starts another one at an instant.
    pub(crate) async fn restart(self, signal: Signal, instant: DateTime<Utc>) -> Self {
        self.running.signal(signal);
        self.running.finish().await;
        Self::start(self.stage, instant)
    }

    /// Kills the daemon in the middle of the run that an instant starts, and starts another one later.
    pub(crate) async fn die_during_run(self, instant: DateTime<Utc>, later: DateTime<Utc>) -> Self {
        self.stage.standin.hold();
        let arrived = self.stage.standin.requests();
        self.step(instant);
        self.stage.standin.reached(arrived + 1).await;
        self.running.signal(Signal::SIGKILL);
        self.stage.standin.release();
        self.restart_dead(later).await
    }

    async fn restart_dead(self, instant: DateTime<Utc>) -> Self {
        self.running.finish().await;
        Self::start(self.stage, instant)
    }

    /// Stops the daemon.
    pub(crate) async fn stop(self) {
        self.running.terminate().await.expect_code(0);
    }
}

fn launch(stage: &Stage, file: &std::path::Path) -> Running {
    stage
        .daemon_with_clock(file)
        .unset("SANGGWOND_CRAWL__KEYWORDS")
        .set("SANGGWOND_SCHEDULE__HEARTBEAT", "100ms")
        .set("SANGGWOND_LOG__FILTER", "info,sanggwond::scheduler=debug")
        .start()
}

/// Writes the offset of the clock. The file is replaced atomically, because the daemon may read it at any time.
fn set(file: &std::path::Path, instant: DateTime<Utc>) {
    let ahead: TimeDelta = instant - clock::now();
    let fresh = file.with_extension("fresh");
    std::fs::write(&fresh, format!("{:+}s", ahead.num_seconds())).unwrap();
    std::fs::rename(fresh, file).unwrap();
}
