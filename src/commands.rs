//! The command line: one file per subcommand.

mod cancel;
mod changes;
mod check;
mod completions;
mod consent;
mod crawl;
mod daemon;
mod demo;
mod due;
mod export;
mod health;
mod migrate;
mod next;
mod output;
mod pages;
mod part;
mod pause;
mod purge;
mod report;
mod request;
mod runs;
mod since;
mod situation;
mod standin;
mod status;
mod table;
mod text;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use indicatif::{MultiProgress, ProgressDrawTarget};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::app::Obstacle;
use crate::config::{self, Config, Environment, LogFormat, redaction};
use crate::crawl::plan;
use crate::domain::run::Status;
use crate::shutdown::Backstop;
use crate::telemetry::{Dropped, Logs, Screen};
use crate::{clock, core_dumps, kakao, shutdown, stations, store, telemetry, threads};

/// What the exit codes mean.
const EXIT_CODES: &str = "Exit codes: 0 success (a daemon: stopped by a signal); 1 failed, a check failed, or another \
    process holds the run lock; 2 wrong usage or configuration; 3 the run is partial; 4 interrupted by a signal, or the \
    run is interrupted or cancelled. `health` exits with 0 or 1 only; \
    `status` has its own codes.";

/// Time limit for stopping after the grace period: recording the end of a run, returning unused requests, closing connections.
const AFTER_GRACE: Duration = Duration::from_secs(30);

/// Time limit for stopping a command that does not write to the database.
const READING: Duration = Duration::from_secs(2);

/// Time limit at the end for threads that are still blocked, for example in a DNS lookup.
const LEFT_OVER: Duration = Duration::from_secs(1);

/// Keeps a PostgreSQL database of the places around every urban rail station in Korea up to date.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Arguments {
    /// The configuration file; default: /etc/sanggwond/config.toml, if it exists
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Crawl made-up data instead of Kakao's, into a separate database (its name ends in _demo)
    #[arg(long, global = true)]
    demo: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Wait for the schedule and start the runs that are due (the default)
    Daemon,
    /// Start a run now, or resume the unfinished one
    Crawl(crawl::Options),
    /// Show the daemons, the run at work, the last full run and what comes next
    #[command(after_help = status::EXIT_CODES)]
    Status(status::Options),
    /// Show the run history, newest first, or one run in full
    Runs(runs::Options),
    /// Show the places that opened, changed, closed and reopened, newest first
    Changes(changes::Options),
    /// Write the places, or their changes, as CSV, GeoJSON, NDJSON or GeoParquet
    Export(export::Options),
    /// Let a running daemon start a run, with its own configuration and key
    Request(request::Options),
    /// End an unfinished run for good, wherever it works
    Cancel(cancel::Options),
    /// Let no run start by itself until further notice
    Pause(pause::Options),
    /// End the pause of the schedule
    Unpause,
    /// Delete places permanently
    Purge(purge::Options),
    /// Show when the next runs are due
    Next(next::Options),
    /// Write an HTML page about the last runs, the changes and the stations
    Report(report::Options),
    /// Check configuration, stations, database and API key (sends one request)
    Check(check::Options),
    /// Apply the missing migrations to the database
    Migrate,
    /// Exit with 0 if the daemon on this host is alive, otherwise with 1
    Health,
    /// Print a completion script for a shell
    Completions(completions::Options),
    /// Serve the simulated API
    #[command(hide = true)]
    Standin(standin::Options),
}

/// The output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// The output format of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum TableFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// For spreadsheets
    Csv,
}

/// Options that cannot be combined, which the command line parser does not detect.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misuse(&'static str);

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Partial = 3,
    Interrupted = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The arguments of every subcommand.
struct Context {
    config: Config,
    is_demo: bool,
    stop: CancellationToken,
    bars: MultiProgress,
    screen: Screen,
    dropped: Dropped,
    backstop: Backstop,
}

/// Runs the program and returns its exit code. Every error becomes one sentence on stderr.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    core_dumps::disable();
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(answer) => return print_answer(&answer),
    };
    let is_health = matches!(arguments.command, Some(Command::Health));
    // Kept until the end, because dropping the logs writes what is buffered.
    let mut logs = None;
    match run_in_threads(arguments, &mut logs) {
        Ok(exit) => exit.into(),
        Err(error) => {
            // Escape control characters: the message may contain names from the database, and a terminal would
            // interpret them.
            let sentence = text::visible(&format!("sanggwond: {error:#}")).into_owned();
            match &logs {
                Some(logs) => logs.say(&sentence),
                // If stderr is closed, only the exit code shows the error.
                None => drop(writeln!(io::stderr(), "{sentence}")),
            }
            // The health check of a container supports only 0 and 1.
            if is_health { Exit::Failed.into() } else { exit_of(&error).into() }
        }
    }
}

/// Prints the help, the version, or what is wrong with the arguments.
fn print_answer(answer: &clap::Error) -> ExitCode {
    if answer.use_stderr() {
        let plain = answer.render().to_string();
        let shown: Vec<_> = plain.lines().map(text::visible).collect();
        // If stderr is closed, only the exit code shows the error.
        if shown.iter().all(|line| matches!(line, Cow::Borrowed(_))) {
            answer.print().ok();
        } else {
            writeln!(io::stderr(), "{}", shown.join("\n")).ok();
        }
        return Exit::Usage.into();
    }
    let text = answer.render();
    let text = if io::stdout().is_terminal() { text.ansi().to_string() } else { text.to_string() };
    match output::print_raw(&text) {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            writeln!(io::stderr(), "sanggwond: {error:#}").ok();
            Exit::Failed.into()
        }
    }
}

fn run_in_threads(arguments: Arguments, logs: &mut Option<Logs>) -> anyhow::Result<Exit> {
    let runtime = threads::runtime()?;
    let exit = runtime.block_on(Box::pin(start(arguments, logs)));
    runtime.shutdown_timeout(LEFT_OVER);
    exit
}

async fn start(arguments: Arguments, logs: &mut Option<Logs>) -> anyhow::Result<Exit> {
    let Arguments { config, demo, command } = arguments;
    match &command {
        Some(Command::Standin(options)) => return standin::run(options).await,
        Some(Command::Completions(options)) => return completions::run(options),
        _ => {}
    }
    let config = Config::load(config.as_deref(), demo, &Environment::of_process())?;
    let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
    let started = logs.insert(telemetry::start(&log_settings(&config, command.as_ref())?, &bars)?);
    if works(command.as_ref()) || matches!(command, Some(Command::Check(_))) {
        config.warnings.iter().for_each(|warning| warn!("{warning}"));
    }
    let (screen, dropped) = (started.screen().clone(), started.dropped().clone());
    let stop = CancellationToken::new();
    let is_work = works(command.as_ref()) || matches!(command, Some(Command::Purge(_)));
    let work = if is_work { config.shutdown.grace.saturating_add(AFTER_GRACE) } else { READING };
    let (backstop, signals) = shutdown::on_signal(stop.clone(), work)?;
    let mut context = Context { config, is_demo: demo, stop, bars, screen, dropped, backstop };
    let is_daemon = matches!(command, None | Some(Command::Daemon));
    tokio::select! {
        exit = dispatch(command.unwrap_or(Command::Daemon), &mut context) => match exit {
            // The stop was requested before the work began.
            Err(error) if matches!(error.downcast_ref(), Some(Obstacle::Stopped)) => {
                Ok(if is_daemon { Exit::Done } else { Exit::Interrupted })
            }
            exit => exit,
        },
        () = signals => Ok(Exit::Interrupted),
    }
}

async fn dispatch(command: Command, context: &mut Context) -> anyhow::Result<Exit> {
    match command {
        Command::Daemon => demo::alongside(context, async |context| Box::pin(daemon::run(context)).await).await,
        Command::Crawl(options) => {
            demo::alongside(context, async |context| Box::pin(crawl::run(context, &options)).await).await
        }
        Command::Check(options) => demo::alongside(context, async |context| check::run(context, &options).await).await,
        Command::Status(options) => status::run(context, &options).await,
        Command::Runs(options) => runs::run(context, &options).await,
        Command::Changes(options) => changes::run(context, &options).await,
        Command::Export(options) => export::run(context, &options).await,
        Command::Request(options) => request::run(context, &options).await,
        Command::Cancel(options) => cancel::run(context, &options).await,
        Command::Pause(options) => pause::run(context, &options).await,
        Command::Unpause => pause::end(context).await,
        Command::Purge(options) => purge::run(context, &options).await,
        Command::Next(options) => next::run(context, &options).await,
        Command::Report(options) => report::run(context, &options).await,
        Command::Migrate => migrate::run(context).await,
        Command::Health => health::run(context).await,
        Command::Completions(options) => completions::run(&options),
        Command::Standin(options) => standin::run(&options).await,
    }
}

/// Whether a command crawls or migrates. Only these commands log as configured.
fn works(command: Option<&Command>) -> bool {
    matches!(command, None | Some(Command::Daemon | Command::Crawl(_) | Command::Migrate))
}

fn log_settings<'a>(config: &'a Config, command: Option<&Command>) -> anyhow::Result<telemetry::Settings<'a>> {
    let works = works(command);
    Ok(telemetry::Settings {
        // Other commands log warnings and errors only, so that their output is the result.
        filter: if works { &config.log.filter } else { "warn" },
        json: match config.log.format {
            LogFormat::Auto => None,
            LogFormat::Text => Some(false),
            LogFormat::Json => Some(true),
        },
        directory: config.log.directory.as_deref().filter(|_| works),
        zone: config.schedule.parse()?.zone(),
        redacted: redaction::redacted,
        clock: clock::now,
    })
}

/// The exit code of a run.
fn exit_of_run(status: Status) -> Exit {
    match status {
        Status::Succeeded => Exit::Done,
        Status::Partial => Exit::Partial,
        Status::Interrupted | Status::Running | Status::Cancelled => Exit::Interrupted,
        Status::Failed | Status::Skipped => Exit::Failed,
    }
}

/// The exit code of an error: interrupted by a signal, wrong usage, or failed.
fn exit_of(error: &anyhow::Error) -> Exit {
    if error.chain().any(|cause| matches!(cause.downcast_ref(), Some(Obstacle::Stopped))) {
        return Exit::Interrupted;
    }
    let is_usage = error.chain().any(|cause| match cause.downcast_ref::<Obstacle>() {
        Some(Obstacle::NoSchema | Obstacle::Busy(_) | Obstacle::Stopped) => false,
        Some(Obstacle::NoKey | Obstacle::NoDatabase | Obstacle::NeverDue(_)) => true,
        None => {
            cause.is::<Misuse>()
                || cause.is::<consent::Needed>()
                || cause.is::<config::Error>()
                || cause.is::<telemetry::Error>()
                || cause.is::<stations::Error>()
                || cause.is::<kakao::BuildError>()
                || cause.is::<plan::Error>()
                || matches!(cause.downcast_ref(), Some(store::Error::Url(_) | store::Error::Purpose(_)))
        }
    });
    if is_usage { Exit::Usage } else { Exit::Failed }
}
