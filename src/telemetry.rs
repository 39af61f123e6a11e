//! Log lines: on stderr for people or programs, and in daily files if wanted.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use indicatif::MultiProgress;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

/// Libraries whose chatter is not worth a line each; a more special directive of the operator goes before these.
const QUIET: [&str; 3] = ["tokio_cron_scheduler=warn", "sqlx::postgres::notice=warn", "hyper_util=info"];

/// How many daily files are kept.
const KEPT_FILES: usize = 30;

/// What is logged, and where.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// Which messages.
    pub filter: &'a str,
    /// JSON instead of text on stderr; unset: where stderr is no terminal.
    pub json: Option<bool>,
    /// The folder of the daily files.
    pub directory: Option<&'a Path>,
}

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter says nothing.
    #[error("log.filter {0:?} is no filter; write a level (info) or directives (info,sanggwond::kakao=debug)")]
    Filter(String, #[source] tracing_subscriber::filter::ParseError),
    /// The folder cannot be written.
    #[error("could not write log files into {0}, the folder that log.directory names")]
    Directory(PathBuf, #[source] tracing_appender::rolling::InitError),
    /// Something else in the process logs already.
    #[error("logging is set up already")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Writes what is buffered when it goes; `main` holds it to the end.
#[derive(Debug)]
pub struct Guard {
    _file: Option<WorkerGuard>,
}

/// Starts logging. Lines on stderr go above the progress bars in `bars`.
///
/// # Errors
/// When the filter cannot be read or the folder cannot be written.
pub fn start(settings: &Settings<'_>, bars: &MultiProgress) -> Result<Guard, Error> {
    let (file, guard) = settings.directory.map(open).transpose()?.unzip();
    let is_json = settings.json.unwrap_or_else(|| !io::stderr().is_terminal());
    let bars = bars.clone();
    let writer = move || AboveBars(bars.clone());
    let on_stderr = fmt::layer().with_writer(writer).with_ansi(io::stderr().is_terminal());
    let on_stderr =
        if is_json { on_stderr.json().flatten_event(true).boxed() } else { on_stderr.with_target(false).boxed() };
    let in_file = file.map(|file| fmt::layer().json().flatten_event(true).with_writer(file));
    Registry::default()
        .with(filter(settings.filter)?)
        .with(on_stderr)
        .with(in_file)
        .try_init()
        .map_err(Error::Twice)?;
    Ok(Guard { _file: guard })
}

fn filter(directives: &str) -> Result<EnvFilter, Error> {
    let all = QUIET.into_iter().chain([directives]).collect::<Vec<_>>().join(",");
    EnvFilter::builder().parse(all).map_err(|error| Error::Filter(directives.to_owned(), error))
}

/// Opens the daily file. A full buffer makes the caller wait: no line is dropped.
fn open(folder: &Path) -> Result<(NonBlocking, WorkerGuard), Error> {
    let appender = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("sanggwond")
        .filename_suffix("log")
        .max_log_files(KEPT_FILES)
        .build(folder)
        .map_err(|error| Error::Directory(folder.to_owned(), error))?;
    Ok(NonBlockingBuilder::default().lossy(false).finish(appender))
}

/// Standard error, with the progress bars out of the way.
struct AboveBars(MultiProgress);

impl Write for AboveBars {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_filter_is_refused_by_its_key() {
        let error = filter("info,=loud=").unwrap_err();

        assert!(error.to_string().starts_with("log.filter \"info,=loud=\" is no filter"));
    }
}
