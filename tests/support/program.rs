//! The real binary, run as a child process.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Time limit after which a program is considered hung. It is generous, because it only detects hangs and measures
/// nothing.
pub(crate) const PATIENCE: Duration = Duration::from_mins(10);

/// The binary before it is started. `PATH` is the only variable that it inherits.
pub(crate) struct Program {
    command: Command,
}

/// The running binary.
pub(crate) struct Running {
    child: Child,
    stdout: Option<ChildStdout>,
    stderr: watch::Receiver<String>,
    _reading: JoinSet<()>,
}

/// The result of the binary after its end.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Its exit status.
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
    pub(crate) fn set(mut self, variable: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(variable, value);
        self
    }

    /// Unsets a variable.
    pub(crate) fn unset(mut self, variable: &str) -> Self {
        self.command.env_remove(variable);
        self
    }

    /// Names the configuration file, so that the one of the machine is not read.
    pub(crate) fn config(mut self, file: &Path) -> Self {
        self.command.arg("--config").arg(file);
        self
    }

    /// Runs another copy of the binary.
    pub(crate) fn binary(self, binary: &Path) -> Self {
        let inner = self.command.as_std();
        let mut command = Command::new(binary);
        command.args(inner.get_args()).env_clear().kill_on_drop(true);
        command.envs(inner.get_envs().filter_map(|(variable, value)| Some((variable, value?))));
        Self { command }
    }

    /// Starts it through another program, which gets the command line of the binary as its last arguments.
    pub(crate) fn through(self, wrapper: &[&str]) -> Self {
        let inner = self.command.as_std();
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(inner.get_program()).args(inner.get_args()).env_clear().kill_on_drop(true);
        command.envs(inner.get_envs().filter_map(|(variable, value)| Some((variable, value?))));
        Self { command }
    }

    /// Runs it to its end. Its stdout goes to `stdout` and is not captured.
    pub(crate) async fn finish_into(mut self, stdout: impl Into<Stdio>) -> Finished {
        let child = self.command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        // The command holds a copy of stdout, and a reader sees the end of the output only when all copies are closed.
        drop(self.command);
        let output = child.wait_with_output();
        let output = tokio::time::timeout(PATIENCE, output).await.expect("it hangs").unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        Finished { status: output.status, stdout: String::new(), stderr }
    }

    /// Starts it on a terminal of this many columns. All output on the terminal counts as stderr.
    pub(crate) fn start_on_terminal(mut self, columns: u16) -> Running {
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(Some(&size), None).unwrap();
        let (for_stdout, for_stderr) = (slave.try_clone().unwrap(), slave);
        self.command.stdin(Stdio::null()).stdout(for_stdout).stderr(for_stderr).env("TERM", "xterm");
        let child = self.command.spawn().unwrap();
        // The command holds copies of the slave. Reading the master ends only when all copies are closed.
        drop(self.command);
        let (said, stderr) = watch::channel(String::new());
        let mut reading = JoinSet::new();
        reading.spawn_blocking(move || {
            let mut master = std::fs::File::from(master);
            let mut buffer = [0; 4096];
            let mut bytes = Vec::new();
            while let Ok(count @ 1..) = master.read(&mut buffer) {
                bytes.extend_from_slice(&buffer[..count]);
                said.send_modify(|said| *said = String::from_utf8_lossy(&bytes).into_owned());
            }
        });
        Running { child, stdout: None, stderr, _reading: reading }
    }

    /// Starts it with this stderr, which is not read here.
    pub(crate) fn start_on(mut self, stderr: OwnedFd) -> Running {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = self.command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        Running { child, stdout: Some(stdout), stderr: watch::channel(String::new()).1, _reading: JoinSet::new() }
    }

    /// Starts it.
    pub(crate) fn start(self) -> Running {
        self.start_into(Stdio::piped())
    }

    /// Starts it with this stdout. Only `Stdio::piped()` is read here, when the program finishes.
    pub(crate) fn start_into(mut self, stdout: impl Into<Stdio>) -> Running {
        self.command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let stdout = child.stdout.take();
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

    /// Runs it to its end on a separate terminal, on which `answer` is typed. All output on the terminal is in
    /// `stdout`.
    pub(crate) async fn on_a_terminal(self, answer: &str) -> Finished {
        let program = self.command.as_std();
        let quoted = |word: &OsStr| format!("'{}'", word.to_str().unwrap().replace('\'', r"'\''"));
        let words: Vec<String> = std::iter::once(program.get_program()).chain(program.get_args()).map(quoted).collect();
        let mut command = Command::new("script");
        // `script` (package bsdutils, essential on Debian) runs a command on a terminal and returns its exit code.
        command
            .args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"])
            .env_clear()
            .kill_on_drop(true);
        command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(answer.as_bytes()).await.unwrap();
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
        drop(stdin);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Finished { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Running {
    /// Waits until it has written these words to stderr.
    pub(crate) async fn says(&mut self, words: &str) {
        self.says_times(words, 1).await;
    }

    /// Waits until it has written these words to stderr this many times.
    pub(crate) async fn says_times(&mut self, words: &str, times: usize) {
        let heard = self.hears(words, times).await;
        assert!(heard, "it never said {words:?} {times} times but:\n{}", *self.stderr.borrow());
    }

    /// Waits until it has written these words to stderr this many times; `false` if it ends before that.
    pub(crate) async fn hears(&mut self, words: &str, times: usize) -> bool {
        let waiting = self.stderr.wait_for(|said| said.matches(words).count() >= times);
        tokio::time::timeout(PATIENCE, waiting).await.is_ok_and(|heard| heard.is_ok())
    }

    /// How often it has written these words to stderr so far.
    pub(crate) fn said(&self, words: &str) -> usize {
        self.stderr.borrow().matches(words).count()
    }

    /// Waits until the process has exited. Call [`Self::finish`] to get the result.
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

    /// Waits for its end. Also returns its peak resident memory in KiB.
    pub(crate) async fn finish_with_peak(self) -> (Finished, u64) {
        let status = format!("/proc/{}/status", self.pid());
        let peak = std::thread::spawn(move || {
            let mut peak = 0;
            while let Some(now) = std::fs::read_to_string(&status).ok().as_deref().and_then(peak_of) {
                peak = now;
                // Poll, because the kernel sends no notification. It records the peak itself, so no value between two
                // reads is lost.
                std::thread::park_timeout(Duration::from_millis(5));
            }
            peak
        });
        let finished = self.finish().await;
        (finished, peak.join().unwrap())
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn finish(self) -> Finished {
        self.finish_within(PATIENCE).await
    }

    /// Kills it, and waits for its end.
    pub(crate) async fn kill(self) {
        self.signal(Signal::SIGKILL);
        self.finish().await;
    }

    /// Asks it to stop, and waits for its end.
    pub(crate) async fn terminate(self) -> Finished {
        self.signal(Signal::SIGTERM);
        self.finish().await
    }

    /// Waits for its end, at most for `patience`.
    pub(crate) async fn finish_within(mut self, patience: Duration) -> Finished {
        let mut stdout = String::new();
        let ending = async {
            if let Some(mut pipe) = self.stdout.take() {
                pipe.read_to_string(&mut stdout).await.unwrap();
            }
            let status = self.child.wait().await.unwrap();
            // The sender is dropped after the last line.
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

/// The peak resident memory (`VmHWM`, in KiB) from the status of a process; `None` if the process has ended.
fn peak_of(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
}
