//! Logging: text or JSON on stderr, and JSON in daily files if `log.directory` is set.
//!
//! Writing a log line never blocks the caller: see `outlet`. Messages of other crates are logged only if `log.filter`
//! names the crate, because the errors that this program logs already contain their causes.

mod chain;
mod daily;
mod lines;
mod outlet;
mod screen;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use indicatif::MultiProgress;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry as Metrics;
use tracing::level_filters::LevelFilter;
use tracing::{error, warn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

use daily::Daily;
use lines::{Lines, Output};
use outlet::Outlet;

pub use chain::chain;
pub use screen::Screen;

/// Target of the span of a run. It is enabled whatever the filter says, so that every line of a run has the run's
/// number.
pub const RUN: &str = "run";

/// What is logged, and where.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// Which messages are logged.
    pub filter: &'a str,
    /// JSON instead of text on stderr; `None`: JSON if stderr is not a terminal.
    pub json: Option<bool>,
    /// The folder of the daily files.
    pub directory: Option<&'a Path>,
    /// The time zone of the times in text lines.
    pub zone: Tz,
    /// Returns the current time.
    pub clock: fn() -> DateTime<Utc>,
    /// Removes secrets from the message of a panic, which may contain text from outside.
    pub redacted: fn(&str) -> String,
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter cannot be parsed, or is empty.
    #[error("invalid log.filter {0:?}; expected a level (info) or directives (info,sanggwond::kakao=debug)")]
    Filter(String, #[source] Option<tracing_subscriber::filter::ParseError>),
    /// The folder or its file cannot be used.
    #[error("could not write log files into {0}, the folder that log.directory names")]
    Directory(PathBuf, #[source] io::Error),
    /// Too many threads or open files.
    #[error("could not start to log: too many threads or open files")]
    Resources(#[source] io::Error),
    /// Logging is already set up in this process.
    #[error("logging is set up already")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Number of lines that could not be written; clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Dropped(Family<[(&'static str, &'static str); 1], Counter>);

impl Dropped {
    /// Registers the counts as metrics.
    pub fn register(&self, metrics: &mut Metrics) {
        for to in ["stderr", "file"] {
            drop(self.counter(to));
        }
        let help =
            "Log lines that could not be written, because nobody reads stderr or the disk of log.directory is full";
        metrics.register("log_lines_dropped", help, self.0.clone());
    }

    fn counter(&self, to: &'static str) -> Counter {
        self.0.get_or_create(&[("to", to)]).clone()
    }
}

/// The running log. Dropping it writes what is buffered, so it is kept until the end of the process.
#[derive(Debug)]
pub struct Logs {
    screen: Screen,
    file: Option<Outlet>,
    dropped: Dropped,
}

/// Starts logging. Lines on stderr go above the progress bars in `bars`.
///
/// # Errors
/// When the filter cannot be parsed, the folder cannot be used, or there are too few resources.
pub fn start(settings: &Settings<'_>, bars: &MultiProgress) -> Result<Logs, Error> {
    let filter = filter(settings.filter)?;
    let dropped = Dropped::default();
    let is_terminal = io::stderr().is_terminal();
    // A separate descriptor, because a blocked write must not hold the lock of the process's stderr.
    let stderr = io::stderr().as_fd().try_clone_to_owned().map_err(Error::Resources)?;
    let outlet = Outlet::start("stderr".to_owned(), File::from(stderr), dropped.counter("stderr"));
    let screen = Screen::new(outlet.map_err(Error::Resources)?, bars, is_terminal);
    let file = settings.directory.map(|folder| open(folder, settings.clock, &dropped)).transpose()?;
    let on_stderr = if settings.json.unwrap_or(!is_terminal) {
        Output::Json(screen.clone())
    } else {
        Output::Text { to: screen.clone(), zone: settings.zone, is_colored: is_terminal }
    };
    let in_file = file.clone().map(Output::File);
    let lines = Lines { outputs: [on_stderr].into_iter().chain(in_file).collect(), clock: settings.clock };
    // One filter for all layers. A filter per layer loses lines: after a check whether something would be logged, such
    // as the database driver's, the next line of that thread is discarded.
    Registry::default().with(filter).with(lines).try_init().map_err(Error::Twice)?;
    log_panics(settings.redacted);
    Ok(Logs { screen, file, dropped })
}

impl Logs {
    /// Writes a line to stderr unchanged, after the buffered lines.
    pub fn say(&self, line: &str) {
        self.screen.line(&format!("{line}\n"));
    }

    /// Stderr, with the progress bars.
    #[must_use]
    pub fn screen(&self) -> &Screen {
        &self.screen
    }

    /// Number of lines that could not be written.
    #[must_use]
    pub fn dropped(&self) -> &Dropped {
        &self.dropped
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        let stderr = self.screen.outlet();
        let dropped = stderr.finish();
        let Some(file) = &self.file else { return };
        if dropped > 0 {
            let to = stderr.destination();
            warn!(dropped, "log lines to {to} were dropped: {dropped}; nobody reads it");
        }
        file.finish();
    }
}

/// Parses the filter. A bare level applies to this program; other crates log only if they are named.
fn filter(directives: &str) -> Result<EnvFilter, Error> {
    let refused = |error| Error::Filter(directives.to_owned(), error);
    let mut all = vec!["off".to_owned(), format!("{RUN}=error")];
    for directive in directives.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        match directive.parse::<LevelFilter>() {
            Ok(level) => all.push(format!("sanggwond={level}")),
            Err(_) if directive.contains(['=', '[']) => all.push(directive.to_owned()),
            // A misspelt level would be taken for a target, and nothing would be logged.
            Err(_) => return Err(refused(None)),
        }
    }
    if all.len() == 2 {
        return Err(refused(None));
    }
    EnvFilter::builder().parse(all.join(",")).map_err(|error| refused(Some(error)))
}

/// Opens the daily file.
fn open(folder: &Path, clock: fn() -> DateTime<Utc>, dropped: &Dropped) -> Result<Outlet, Error> {
    let daily = Daily::open(folder, clock).map_err(|error| Error::Directory(folder.to_owned(), error))?;
    Outlet::start(folder.display().to_string(), daily, dropped.counter("file")).map_err(Error::Resources)
}

/// Logs a panic like any other line. The default hook would write over the progress bar, and block on a paused
/// terminal.
fn log_panics(redacted: fn(&str) -> String) {
    std::panic::set_hook(Box::new(move |panic| {
        let message = redacted(panic.payload_as_str().unwrap_or("no message"));
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        // Empty unless RUST_BACKTRACE is set.
        let backtrace = Some(Backtrace::capture()).filter(|trace| trace.status() == BacktraceStatus::Captured);
        error!(panic.at = at, panic.backtrace = backtrace.map(|trace| trace.to_string()), "a bug: {message}");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_filter_is_refused_with_its_key() {
        for bad in ["info,=loud=", "inof", "info,debugg", "", " , "] {
            let error = filter(bad).unwrap_err();

            assert!(error.to_string().starts_with(&format!("invalid log.filter {bad:?}")), "{error}");
        }
    }

    #[test]
    fn a_level_applies_to_this_program_and_other_crates_log_only_if_named() {
        let read = |directives| filter(directives).unwrap().to_string();

        assert_eq!(read("info"), "sanggwond=info,run=error,off");
        assert_eq!(read("TRACE, hyper=debug"), "sanggwond=trace,hyper=debug,run=error,off");
        assert_eq!(read("info,sanggwond::kakao=debug"), "sanggwond::kakao=debug,sanggwond=info,run=error,off");
    }
}
