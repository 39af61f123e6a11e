//! The configuration: compiled-in defaults, then a file, then the environment.
//!
//! Every value gets its final type here, so that a program that starts is valid. The keys are documented in
//! `config/default.toml`.

mod environment;
mod origins;
pub mod redaction;
pub mod regular_file;
mod secret_file;
mod values;

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::builder::DefaultState;
use config::{ConfigBuilder, ConfigError, File, FileFormat, Source};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::domain::keyword::Keyword;
use crate::domain::language::Language;
use crate::domain::notice::Event;
use crate::domain::price::Price;
use crate::domain::quota::Quotas;
use crate::domain::run::Coverage;
use crate::domain::schedule::Schedule;

pub use environment::Environment;
use origins::Settings;
pub use origins::{Origin, Setting};

const DEFAULTS: &str = include_str!("../config/default.toml");

/// Defaults that `--demo` changes: the stand-in needs no delay between pages.
const DEMO: &str = "crawl.page_delay = '0s'";

/// The configuration file that is read if none is named and this one exists.
const USUAL_FILE: &str = "/etc/sanggwond/config.toml";

/// Maximum size of a configuration file in KiB.
const MOST_KIB: u64 = 1024;

/// All settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// When runs are due.
    pub schedule: Scheduling,
    /// What is crawled.
    pub crawl: Crawl,
    /// How requests are sent to the API.
    pub kakao: Kakao,
    /// Where the places are stored.
    pub database: Database,
    /// How much of the run history is kept.
    pub history: History,
    /// The monitoring endpoints.
    pub observe: Observe,
    /// What people read.
    pub report: Report,
    /// How operators are told about full runs.
    pub notify: Notify,
    /// What is logged, and where.
    pub log: Log,
    /// How the program stops.
    pub shutdown: Shutdown,
    /// Warnings about the files that the values come from; the caller logs them.
    #[serde(skip)]
    pub warnings: Vec<String>,
    /// The language of the locale, if it is one of this program.
    #[serde(skip)]
    pub locale: Option<Language>,
    /// All settings as text, with their origins and without secrets.
    #[serde(skip)]
    pub settings: Vec<Setting>,
}

/// The keys of `[schedule]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheduling {
    /// Whether the schedule starts runs.
    pub enabled: bool,
    cron: String,
    timezone: String,
    /// How late the run of a missed tick may still start.
    #[serde(deserialize_with = "values::duration")]
    pub catch_up_window: Duration,
    /// How long an unfinished run may still be resumed, from its tick if it started on time, otherwise from its start.
    #[serde(deserialize_with = "values::duration")]
    pub resume_window: Duration,
    /// Interval at which the scheduler checks for due runs, besides the cron job.
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
    /// How the area around the stations is searched.
    #[serde(deserialize_with = "values::coverage")]
    pub coverage: Coverage,
    /// Delay between the pages of a cell.
    #[serde(deserialize_with = "values::duration")]
    pub page_delay: Duration,
    /// Number of consecutive misses after which a keyword drops a place.
    pub close_after: NonZeroU32,
    /// Maximum share of missing places, from 0 to 1. If it is exceeded, no place counts as missing.
    #[serde(deserialize_with = "values::share")]
    pub max_miss_share: f64,
    /// Maximum number of searches by name per run. One such search precedes each closing, to check whether the place
    /// still exists.
    pub confirm_closings: u32,
    /// Whether a full run first checks that the API still does what it relies on.
    pub canaries: bool,
}

/// The keys of `[kakao]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kakao {
    /// Base URL of the API.
    #[serde(deserialize_with = "values::base_url")]
    pub base_url: String,
    /// The REST API key.
    #[serde(default, deserialize_with = "values::api_key")]
    pub api_key: Option<SecretString>,
    /// Maximum number of requests in flight.
    #[serde(deserialize_with = "values::max_in_flight")]
    pub max_in_flight: NonZeroUsize,
    /// The time limit of one request.
    #[serde(deserialize_with = "values::duration_above_zero")]
    pub timeout: Duration,
    /// Number of failures of one page after which its search fails.
    pub max_attempts: NonZeroU32,
    /// Wait after the first failure; each further wait doubles.
    #[serde(deserialize_with = "values::duration_above_zero")]
    pub backoff: Duration,
    /// Maximum number of requests per second; `None`: no fixed limit.
    #[serde(default, deserialize_with = "values::rate")]
    pub requests_per_second: Option<f64>,
    /// Maximum number of requests per day in Seoul.
    pub daily_quota: NonZeroU32,
    /// Maximum number of requests per calendar month in Seoul.
    pub monthly_quota: NonZeroU32,
    /// The price of a request in won.
    #[serde(deserialize_with = "values::price")]
    pub price_won: Price,
    /// How long a run waits without a good answer of the API before it is interrupted.
    #[serde(deserialize_with = "values::duration_above_zero")]
    pub interrupt_after: Duration,
}

/// The keys of `[database]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// The URL of the database.
    #[serde(default)]
    pub url: Option<SecretString>,
    /// The role that owns the tables, if it is not the role of the URL.
    #[serde(default)]
    pub owner: Option<String>,
    /// Whether a private server is used if no URL is set.
    pub private: bool,
    /// Folder of the private server's data; always set after loading.
    #[serde(default)]
    pub directory: PathBuf,
    /// The folders of `PATH`, which are searched first for the private server's programs.
    #[serde(skip)]
    pub programs: Vec<PathBuf>,
}

/// The keys of `[history]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// Number of rows of `crawl_run` that are kept.
    #[serde(deserialize_with = "values::keep_runs")]
    pub keep_runs: NonZeroU32,
}

/// The keys of `[observe]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observe {
    /// Address of the pages, metrics and health endpoints; `None`: they are not served.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
}

/// The keys of `[report]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The language where nobody asks for another.
    pub language: Language,
}

/// The keys of `[notify]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// The URL of a monitor that expects a request for each full run.
    #[serde(default, deserialize_with = "values::receiver")]
    pub ping_url: Option<SecretString>,
    /// The URL that messages are sent to.
    #[serde(default, deserialize_with = "values::receiver")]
    pub webhook_url: Option<SecretString>,
    /// The events of which there is a message.
    #[serde(deserialize_with = "values::events")]
    pub on: Vec<Event>,
    /// The form of the messages.
    pub format: NoticeFormat,
    /// The duration after which an unfinished run is late; `None`: twice the usual one.
    #[serde(default, deserialize_with = "values::some_duration_above_zero")]
    pub late_after: Option<Duration>,
}

/// The form of the messages of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeFormat {
    /// An object about the run, with a sentence in `text`.
    Json,
    /// Only the sentence, as Slack expects it.
    Slack,
}

/// The keys of `[log]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Which messages are logged.
    pub filter: String,
    /// The format on stderr.
    pub format: LogFormat,
    /// Folder of the daily log files; `None`: no files.
    #[serde(default)]
    pub directory: Option<PathBuf>,
}

/// The format of messages on stderr.
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
    /// How long requests in flight and the last writes may take after a signal.
    #[serde(deserialize_with = "values::duration")]
    pub grace: Duration,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or parsed, a key is unknown, or a value is invalid.
    #[error("{origin}: {reason}")]
    Invalid {
        /// Where the value came from.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// `schedule.cron` or `schedule.timezone` cannot be parsed.
    #[error("{origin}: schedule.cron or schedule.timezone: {error}")]
    Schedule {
        /// Where the value came from.
        origin: String,
        /// What is wrong.
        error: crate::domain::schedule::Invalid,
    },
    /// An environment variable of this program is invalid. The message does not repeat its value.
    #[error("{name} {reason}")]
    Variable {
        /// The variable.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The content of a secret file is not a usable secret.
    #[error("{path}, which {variable} names, {reason}")]
    Secret {
        /// The variable that names it.
        variable: String,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// A secret file cannot be read.
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
    /// Reads the defaults, then `file` (by default /etc/sanggwond/config.toml, if it exists), then the environment.
    ///
    /// # Errors
    /// When a file cannot be read, a key is unknown or a value is invalid; the message names the key.
    pub fn load(file: Option<&Path>, is_demo: bool, environment: &Environment) -> Result<Self, Error> {
        let path = file.unwrap_or(Path::new(USUAL_FILE));
        let mut layers = Layers::new(path)?;
        if is_demo {
            layers.add(&File::from_str(DEMO, FileFormat::Toml), "the defaults of --demo", |_| Origin::Demo)?;
        }
        let mut warnings = environment.warnings();
        // Validate after each layer, so that an error names the layer that caused it.
        if let Some(text) = read(path, file.is_some())? {
            let source = File::from_str(&text, FileFormat::Toml);
            let accepted = layers.add(&source, &path.display().to_string(), |_| Origin::File(path.to_owned()))?;
            let Notify { ping_url, webhook_url, .. } = &accepted.notify;
            let secrets = [&accepted.kakao.api_key, &accepted.database.url, ping_url, webhook_url];
            let has_secret = secrets.into_iter().any(Option::is_some);
            warnings.extend(secret_file::warning(path).filter(|_| has_secret));
        }
        environment.check()?;
        let secrets =
            "the environment (DATABASE_URL, KAKAO_REST_API_KEY, NOTIFY_PING_URL or NOTIFY_WEBHOOK_URL, or their files)";
        layers.add(&environment.secrets()?, secrets, |name| Origin::Variable(environment.origin_of(name)))?;
        let variable = |name: &str| Origin::Variable(environment::variable_of(name));
        let mut config = layers.add(&environment.overrides(), "the environment (SANGGWOND_…)", variable)?;
        if config.database.directory.as_os_str().is_empty() {
            config.database.directory = environment.state_directory();
            layers.settings.fill("database.directory", &config.database.directory);
        }
        config.settings = layers.settings.into_list();
        config.database.programs = environment.program_folders();
        config.register_secrets(environment);
        config.warnings = warnings;
        config.locale = environment.language();
        Ok(config)
    }
}

impl Config {
    /// The language of a command: the one that was asked for, that of the locale, or the configured one.
    #[must_use]
    pub fn language(&self, asked: Option<Language>) -> Language {
        asked.or(self.locale).unwrap_or(self.report.language)
    }

    /// Registers all secrets for redaction.
    fn register_secrets(&self, environment: &Environment) {
        if let Some(key) = &self.kakao.api_key {
            redaction::register(key.expose_secret());
        }
        if let Some(url) = &self.database.url {
            redaction::register_url(url.expose_secret());
        }
        for url in [&self.notify.ping_url, &self.notify.webhook_url].into_iter().flatten() {
            redaction::register_url(url.expose_secret());
        }
        redaction::register_passwords(&self.kakao.base_url);
        environment.register_secrets();
    }
}

/// The layers of the configuration so far.
struct Layers {
    builder: ConfigBuilder<DefaultState>,
    settings: Settings,
}

impl Layers {
    /// The defaults. `path` is named if they cannot be read, which is a bug.
    fn new(path: &Path) -> Result<Self, Error> {
        let defaults = File::from_str(DEFAULTS, FileFormat::Toml);
        let settings =
            Settings::of_defaults(DEFAULTS, &defaults).map_err(|error| invalid(&path.display().to_string(), &error))?;
        Ok(Self { builder: config::Config::builder().add_source(defaults), settings })
    }

    /// Adds a layer, and returns the configuration with it. `whole` names the layer in an error, `origin` is where one of its
    /// settings came from.
    fn add(
        &mut self,
        source: &(impl Source + Clone + Send + Sync + 'static),
        whole: &str,
        origin: impl Fn(&str) -> Origin,
    ) -> Result<Config, Error> {
        self.builder = self.builder.clone().add_source(source.clone());
        let config = accept(&self.builder, whole)?;
        self.settings.add(source, origin).map_err(|error| invalid(whole, &error))?;
        Ok(config)
    }
}

fn invalid(origin: &str, error: &ConfigError) -> Error {
    Error::Invalid { origin: origin.to_owned(), reason: without_source(error) }
}

/// The text of a configuration file; `None` if it does not exist and is not required.
fn read(path: &Path, is_required: bool) -> Result<Option<String>, Error> {
    let invalid = |reason| Error::Invalid { origin: path.display().to_string(), reason };
    let bytes = match regular_file::read(path, MOST_KIB) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_required => return Ok(None),
        read => read.map_err(|error| invalid(format!("could not read the configuration file: {error}")))?,
    };
    // A byte order mark is not part of the text.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    match str::from_utf8(bytes) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(error) => {
            let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
            Err(invalid(format!("line {line} is not UTF-8; save the file in UTF-8")))
        }
    }
}

fn accept(builder: &ConfigBuilder<DefaultState>, origin: &str) -> Result<Config, Error> {
    let config: Config =
        builder.build_cloned().and_then(config::Config::try_deserialize).map_err(|error| invalid(origin, &error))?;
    config.schedule.parse().map_err(|error| Error::Schedule { origin: origin.to_owned(), error })?;
    Ok(config)
}

/// The message of an error without the source lines that the parser quotes, which may contain a secret.
fn without_source(error: &ConfigError) -> String {
    let words = error.to_string();
    let is_source =
        |line: &str| line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().starts_with('|');
    words.lines().filter(|line| !is_source(line)).collect::<Vec<_>>().join(", ")
}

impl Kakao {
    /// The maximum numbers of requests.
    #[must_use]
    pub fn quotas(&self) -> Quotas {
        Quotas { daily: self.daily_quota.get(), monthly: self.monthly_quota.get() }
    }
}

impl Scheduling {
    /// The schedule that `cron` and `timezone` describe.
    ///
    /// # Errors
    /// When they are invalid. [`Config::load`] has already refused such values.
    pub fn parse(&self) -> Result<Schedule, crate::domain::schedule::Invalid> {
        Schedule::parse(&self.cron, &self.timezone)
    }
}

#[cfg(test)]
mod tests;
