//! The command line: one file per subcommand.

mod changes;
mod check;
mod crawl;
mod daemon;
mod demo;
mod export;
mod health;
mod migrate;
mod next;
mod output;
mod part;
mod purge;
mod report;
mod runs;
mod since;
mod standin;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use indicatif::MultiProgress;
use tokio_util::sync::CancellationToken;

use crate::app::Obstacle;
use crate::config::{self, Config, Environment, LogFormat};
use crate::crawl::plan;
use crate::{kakao, shutdown, stations, store, telemetry};

/// Keeps a PostgreSQL database of the places around every urban rail station in Korea fresh.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Arguments {
    /// The configuration file; without it /etc/sanggwond/config.toml, if that exists
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Crawl a made-up world instead of Kakao's, into a database of its own (its name ends in _demo)
    #[arg(long, global = true)]
    demo: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Wait for the schedule and run what is due (this is what happens without a subcommand)
    Daemon,
    /// Crawl once now, or resume what is unfinished
    Crawl(crawl::Options),
    /// Show the run history, newest first, or one run in full
    Runs(runs::Options),
    /// Show what opened, changed, closed and reopened, newest first
    Changes(changes::Options),
    /// Write the places as CSV or GeoJSON
    Export(export::Options),
    /// Delete places for good
    Purge(purge::Options),
    /// Show when the next runs are due
    Next(next::Options),
    /// Write one HTML page on the last runs, the changes and the stations
    Report(report::Options),
    /// Check configuration, stations, database and key (sends one request)
    Check(check::Options),
    /// Bring the database's tables up to date
    Migrate,
    /// Exit with 0 if the daemon of this host is alive, else with 1
    Health,
    /// Serve the stand-in of the API
    #[command(hide = true)]
    Standin(standin::Options),
}

/// How a table is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// How rows are printed.
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

/// Options that do not go together, where the command line itself cannot tell.
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

/// What every subcommand gets.
struct Context {
    config: Config,
    is_demo: bool,
    stop: CancellationToken,
    bars: MultiProgress,
}

/// Runs the program and returns its exit code. Every error becomes one sentence on stderr.
pub async fn run(arguments: Arguments) -> ExitCode {
    match Box::pin(start(arguments)).await {
        Ok(exit) => exit.into(),
        Err(error) => {
            // Where stderr is closed, the exit code has to do.
            writeln!(io::stderr(), "sanggwond: {error:#}").ok();
            exit_of(&error).into()
        }
    }
}

async fn start(arguments: Arguments) -> anyhow::Result<Exit> {
    let Arguments { config, demo, command } = arguments;
    if let Some(Command::Standin(options)) = command {
        return standin::run(&options).await;
    }
    let config = Config::load(config.as_deref(), demo, &Environment::of_process())?;
    let bars = MultiProgress::new();
    // Held to the end: it writes what is buffered.
    let _guard = telemetry::start(&log_settings(&config, command.as_ref()), &bars)?;
    let stop = CancellationToken::new();
    let signals = shutdown::on_signal(stop.clone())?;
    let mut context = Context { config, is_demo: demo, stop, bars };
    tokio::select! {
        exit = dispatch(command.unwrap_or(Command::Daemon), &mut context) => exit,
        () = signals => Ok(Exit::Interrupted),
    }
}

async fn dispatch(command: Command, context: &mut Context) -> anyhow::Result<Exit> {
    match command {
        Command::Daemon => demo::alongside(context, async |context| Box::pin(daemon::run(context)).await).await,
        Command::Crawl(options) => demo::alongside(context, async |context| crawl::run(context, &options).await).await,
        Command::Check(options) => demo::alongside(context, async |context| check::run(context, &options).await).await,
        Command::Runs(options) => runs::run(context, &options).await,
        Command::Changes(options) => changes::run(context, &options).await,
        Command::Export(options) => export::run(context, &options).await,
        Command::Purge(options) => purge::run(context, &options).await,
        Command::Next(options) => next::run(context, &options),
        Command::Report(options) => report::run(context, &options).await,
        Command::Migrate => migrate::run(context).await,
        Command::Health => health::run(context).await,
        Command::Standin(options) => standin::run(&options).await,
    }
}

fn log_settings<'a>(config: &'a Config, command: Option<&Command>) -> telemetry::Settings<'a> {
    let works = matches!(command, None | Some(Command::Daemon | Command::Crawl(_) | Command::Migrate));
    telemetry::Settings {
        // What only looks has nothing to tell but its result.
        filter: if works { &config.log.filter } else { "warn" },
        json: match config.log.format {
            LogFormat::Auto => None,
            LogFormat::Text => Some(false),
            LogFormat::Json => Some(true),
        },
        directory: config.log.directory.as_deref().filter(|_| works),
    }
}

/// Whether the user or the world is to blame.
fn exit_of(error: &anyhow::Error) -> Exit {
    let is_usage = error.chain().any(|cause| match cause.downcast_ref::<Obstacle>() {
        Some(Obstacle::NoSchema | Obstacle::Busy | Obstacle::Stopped) => false,
        Some(Obstacle::NoKey | Obstacle::NoDatabase | Obstacle::NeverDue(_)) => true,
        None => {
            cause.is::<Misuse>()
                || cause.is::<config::Error>()
                || cause.is::<telemetry::Error>()
                || cause.is::<stations::Error>()
                || cause.is::<kakao::BuildError>()
                || cause.is::<plan::Error>()
                || matches!(cause.downcast_ref(), Some(store::Error::Url))
        }
    });
    if is_usage { Exit::Usage } else { Exit::Failed }
}

/// Writes a line of a result to stdout; a reader that went away is no error.
fn print(line: &str) {
    writeln!(io::stdout(), "{line}").ok();
}

/// A text on one line, whatever is in it.
fn words(text: &str) -> String {
    text.replace(char::is_control, " ")
}
