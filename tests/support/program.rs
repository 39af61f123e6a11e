//! The real binary, run as a child process.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A program that takes longer hangs. Generous: it is there to end a hang, not to measure.
const PATIENCE: Duration = Duration::from_mins(3);

/// The binary before it is started. Nothing of the environment reaches it but `PATH`.
pub(crate) struct Program {
    command: Command,
}

/// The binary at work.
pub(crate) struct Running {
    child: Child,
    stdout: ChildStdout,
    stderr: watch::Receiver<String>,
    _reading: JoinSet<()>,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Finished {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Its results.
    pub(crate) stdout: String,
    /// Its logs and errors.
    pub(crate) stderr: String,
}

impl Program {
    /// The binary with these arguments and nothing set.
    pub(crate) fn new(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sanggwond"));
        command.args(arguments).env_clear().kill_on_drop(true);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        Self { command }
    }

    /// Sets a variable.
    pub(crate) fn set(mut self, variable: &str, value: &str) -> Self {
        self.command.env(variable, value);
        self
    }

    /// Unsets a variable.
    pub(crate) fn unset(mut self, variable: &str) -> Self {
        self.command.env_remove(variable);
        self
    }

    /// Names the configuration file, so that the machine's own is not read.
    pub(crate) fn config(mut self, file: &Path) -> Self {
        self.command.arg("--config").arg(file);
        self
    }

    /// Starts it.
    pub(crate) fn start(mut self) -> Running {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (said, stderr) = watch::channel(String::new());
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                said.send_modify(|said| said.extend([line.as_str(), "\n"]));
            }
        });
        Running { child, stdout, stderr, _reading: reading }
    }

    /// Runs it to its end.
    pub(crate) async fn finish(self) -> Finished {
        self.start().finish().await
    }
}

impl Running {
    /// Waits until it has written a line with these words to stderr.
    pub(crate) async fn says(&mut self, words: &str) {
        self.says_times(words, 1).await;
    }

    /// Waits until it has written these words to stderr so many times.
    pub(crate) async fn says_times(&mut self, words: &str, times: usize) {
        let heard = self.hears(words, times).await;
        assert!(heard, "it never said {words:?} {times} times but:\n{}", *self.stderr.borrow());
    }

    /// Waits until it has written these words to stderr so many times; `false` where it ends before.
    pub(crate) async fn hears(&mut self, words: &str, times: usize) -> bool {
        let waiting = self.stderr.wait_for(|said| said.matches(words).count() >= times);
        tokio::time::timeout(PATIENCE, waiting).await.is_ok_and(|heard| heard.is_ok())
    }

    /// How often it has written these words to stderr so far.
    pub(crate) fn said(&self, words: &str) -> usize {
        self.stderr.borrow().matches(words).count()
    }

    /// Waits for its end, and leaves the rest to [`Self::finish`].
    pub(crate) async fn ended(&mut self) {
        self.child.wait().await.unwrap();
    }

    /// What it has written to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.borrow().clone()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        self.child.id().expect("it is not waited for yet").cast_signed()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn finish(self) -> Finished {
        self.finish_within(PATIENCE).await
    }

    /// Waits for its end, for so long.
    pub(crate) async fn finish_within(mut self, patience: Duration) -> Finished {
        let mut stdout = String::new();
        let ending = async {
            self.stdout.read_to_string(&mut stdout).await.unwrap();
            let status = self.child.wait().await.unwrap();
            // The sender goes with the last line.
            self.stderr.wait_for(|_| false).await.ok();
            status
        };
        let Ok(status) = tokio::time::timeout(patience, ending).await else {
            panic!("it does not end; it said:\n{}", *self.stderr.borrow());
        };
        Finished { status, stdout, stderr: self.stderr.borrow().clone() }
    }
}

impl Finished {
    /// Checks the exit code, and returns itself for further checks.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}
