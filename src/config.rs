//! The configuration: compiled-in defaults, then a file, then the environment.
//!
//! Every value gets its final type here, so that a program that starts is valid. The keys are documented in
//! `config/default.toml`.

mod environment;
mod values;

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::builder::DefaultState;
use config::{ConfigBuilder, ConfigError, File, FileFormat};
use secrecy::SecretString;
use serde::Deserialize;

use crate::domain::keyword::Keyword;
use crate::domain::run::Coverage;
use crate::domain::schedule::Schedule;

pub use environment::Environment;
pub use values::duration;

const DEFAULTS: &str = include_str!("../config/default.toml");

/// What `--demo` changes in the defaults: the stand-in needs no politeness.
const DEMO: &str = "crawl.page_delay = '0s'";

/// The file that is read where none is named.
const USUAL_FILE: &str = "/etc/sanggwond/config.toml";

/// Everything that can be set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// When runs are due.
    pub schedule: Scheduling,
    /// What is crawled.
    pub crawl: Crawl,
    /// How the API is asked.
    pub kakao: Kakao,
    /// Where the places are stored.
    pub database: Database,
    /// What is remembered of past runs.
    pub history: History,
    /// What is seen from outside.
    pub observe: Observe,
    /// What is logged, and where.
    pub log: Log,
    /// How the program stops.
    pub shutdown: Shutdown,
}

/// The keys of `[schedule]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheduling {
    /// Whether runs start by themselves.
    pub enabled: bool,
    cron: String,
    timezone: String,
    /// How late a missed tick is caught up.
    #[serde(deserialize_with = "values::duration")]
    pub catch_up_window: Duration,
    /// How long an unfinished run is resumed.
    #[serde(deserialize_with = "values::duration")]
    pub resume_window: Duration,
    /// How often the scheduler looks.
    #[serde(deserialize_with = "values::duration_above_zero")]
    pub heartbeat: Duration,
}

/// The keys of `[crawl]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crawl {
    /// A station file instead of the compiled-in one.
    pub stations: Option<PathBuf>,
    /// What is searched for.
    #[serde(deserialize_with = "values::keywords")]
    pub keywords: Vec<Keyword>,
    /// The radius around a station, in metres.
    #[serde(deserialize_with = "values::radius_m")]
    pub radius_m: u32,
    /// How the ground is covered.
    #[serde(deserialize_with = "values::coverage")]
    pub coverage: Coverage,
    /// The pause between the pages of a cell.
    #[serde(deserialize_with = "values::duration")]
    pub page_delay: Duration,
    /// After how many misses in a row a place is given up.
    pub close_after: NonZeroU32,
    /// The share of misses up to which they are believed.
    #[serde(deserialize_with = "values::share")]
    pub max_miss_share: f64,
    /// How many places are asked for by name in a run before they are closed.
    pub confirm_closings: u32,
}

/// The keys of `[kakao]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kakao {
    /// Where the API is.
    #[serde(deserialize_with = "values::base_url")]
    pub base_url: String,
    /// The REST API key.
    #[serde(default, deserialize_with = "values::api_key")]
    pub api_key: Option<SecretString>,
    /// The most requests in flight.
    #[serde(deserialize_with = "values::max_in_flight")]
    pub max_in_flight: NonZeroUsize,
    /// The time limit of one request.
    #[serde(deserialize_with = "values::duration_above_zero")]
    pub timeout: Duration,
    /// How often a page is asked for.
    pub max_attempts: NonZeroU32,
    /// The first wait after a failure.
    #[serde(deserialize_with = "values::duration")]
    pub backoff: Duration,
    /// The most requests per second.
    #[serde(default, deserialize_with = "values::rate")]
    pub requests_per_second: Option<f64>,
    /// The requests granted per day.
    pub daily_quota: NonZeroU32,
    /// How long to go without a good answer.
    #[serde(deserialize_with = "values::duration_above_zero")]
    pub give_up_after: Duration,
}

/// The keys of `[database]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// The URL of the database.
    #[serde(default)]
    pub url: Option<SecretString>,
    /// Whether a server of our own stands in for a missing URL.
    pub private: bool,
    /// Where that server keeps its data; always set after loading.
    #[serde(default)]
    pub directory: PathBuf,
    /// The folders in which its programs are looked for first, from `PATH`.
    #[serde(skip)]
    pub programs: Vec<PathBuf>,
}

/// The keys of `[history]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// How many rows of `crawl_run` are kept.
    #[serde(deserialize_with = "values::keep_runs")]
    pub keep_runs: NonZeroU32,
}

/// The keys of `[observe]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observe {
    /// Where metrics and health are served.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
}

/// The keys of `[log]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Which messages are logged.
    pub filter: String,
    /// How they look on stderr.
    pub format: LogFormat,
    /// Where daily files go besides.
    #[serde(default)]
    pub directory: Option<PathBuf>,
}

/// How messages look on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// Lines for people.
    Text,
    /// Lines for programs.
    Json,
}

/// The keys of `[shutdown]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// How long the last requests and writes may take.
    #[serde(deserialize_with = "values::duration")]
    pub grace: Duration,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is missing or broken, a key unknown or a value impossible.
    #[error("{origin}: {reason}")]
    Invalid {
        /// Where the value came from.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// `schedule.cron` or `schedule.timezone` says nothing.
    #[error("{origin}: schedule.cron or schedule.timezone: {error}")]
    Schedule {
        /// Where the value came from.
        origin: String,
        /// What is wrong.
        error: crate::domain::schedule::Invalid,
    },
    /// A file that should hold a secret cannot be read.
    #[error("could not read {path}, which {variable} names")]
    SecretFile {
        /// The variable that names it.
        variable: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Config {
    /// Reads the defaults, then `file` (else the usual one if it exists), then the environment.
    ///
    /// # Errors
    /// When a file cannot be read, a key is unknown or a value impossible; the message names the key.
    pub fn load(file: Option<&Path>, is_demo: bool, environment: &Environment) -> Result<Self, Error> {
        let mut builder = config::Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if is_demo {
            builder = builder.add_source(File::from_str(DEMO, FileFormat::Toml));
        }
        let path = file.unwrap_or(Path::new(USUAL_FILE));
        let in_file = File::from(path).format(FileFormat::Toml).required(file.is_some());
        // Layer by layer, so that a refusal can name the one that is to blame.
        builder = builder.add_source(in_file);
        accept(&builder, &path.display().to_string())?;
        builder = builder.add_source(environment.secrets()?);
        accept(&builder, "the environment (DATABASE_URL or KAKAO_REST_API_KEY, or their files)")?;
        builder = builder.add_source(environment.overrides());
        let mut config = accept(&builder, "the environment (SANGGWOND_…)")?;
        if config.database.directory.as_os_str().is_empty() {
            config.database.directory = environment.state_directory();
        }
        config.database.programs = environment.program_folders();
        Ok(config)
    }
}

fn accept(builder: &ConfigBuilder<DefaultState>, origin: &str) -> Result<Config, Error> {
    let invalid = |error| Error::Invalid { origin: origin.to_owned(), reason: without_source(&error) };
    let config: Config = builder.build_cloned().and_then(config::Config::try_deserialize).map_err(invalid)?;
    config.schedule.parse().map_err(|error| Error::Schedule { origin: origin.to_owned(), error })?;
    Ok(config)
}

/// The words of an error without the line of the file that the parser repeats: a secret may be in it.
fn without_source(error: &ConfigError) -> String {
    let words = error.to_string();
    let is_source =
        |line: &str| line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().starts_with('|');
    words.lines().filter(|line| !is_source(line)).collect::<Vec<_>>().join(", ")
}

impl Scheduling {
    /// The schedule that `cron` and `timezone` describe.
    ///
    /// # Errors
    /// Only before [`Config::load`] has accepted them.
    pub fn parse(&self) -> Result<Schedule, crate::domain::schedule::Invalid> {
        Schedule::parse(&self.cron, &self.timezone)
    }
}

#[cfg(test)]
mod tests;
