//! `check`: checks whether everything that a run needs is available.

mod coverage;

use tokio_util::sync::CancellationToken;

use super::due::{self, estimate};
use super::output::{print, width};
use super::table::{Column, lines};
use super::text::{describe, visible};
use super::{Context, Exit};
use crate::app::{self, Database};
use crate::clock;
use crate::config::{Config, Setting};
use crate::crawl::allowance::Reserve;
use crate::domain::cell::Traffic;
use crate::domain::geo::{Area, Circle};
use crate::domain::inventory::{Difference, Inventory};
use crate::domain::quota::day_of;
use crate::domain::station::Station;
use crate::domain::text;
use crate::domain::words::{count, counted, first_few};
use crate::kakao::{Client, Search};
use crate::notify::Notifier;
use crate::runner::Preview;
use crate::store::{Purpose, SchemaState};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Also check that the API does what a run relies on, with up to 12 requests, as every full run does
    #[arg(long)]
    coverage: bool,
    /// Only print the settings in force, each with where it came from; secrets are not shown
    #[arg(long, conflicts_with = "coverage")]
    settings: bool,
    /// Only send a test to the receivers of `notify`
    #[arg(long, conflicts_with_all = ["coverage", "settings"])]
    notify: bool,
    /// The station around which --coverage asks; the suffix 역 may be omitted
    #[arg(long, value_name = "NAME", requires = "coverage", value_parser = text::name)]
    station: Option<String>,
}

/// Prints one line per check and continues after a failure, so that one call shows all problems.
pub(super) async fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    let config = &context.config;
    if options.settings {
        return print_settings(config);
    }
    if options.notify {
        return test_receivers(config).await;
    }
    let schedule = config.schedule.parse()?;
    print(&format!("ok      configuration: \"{}\" ({})", schedule.expression(), schedule.zone()))?;
    let stations = tell("stations", stations_line(config, &context.stop).await)?;
    if context.stop.is_cancelled() {
        return Ok(Exit::Interrupted);
    }
    let database = Database::open(config, context.is_demo).await.map(|database| {
        let target = database.store.target();
        let what = match target.purpose() {
            Purpose::Real => "",
            Purpose::Demo => ", a demo world",
        };
        (format!("{} at {}{what}", target.database(), target.address()), database)
    });
    let is_ready = match tell("database", database)? {
        None => false,
        Some(database) => {
            let is_ready = with_database(context, options, stations.as_deref(), &database).await;
            database.close().await;
            is_ready?
        }
    };
    let failed = if context.stop.is_cancelled() { Exit::Interrupted } else { Exit::Failed };
    Ok(if is_ready && stations.is_some() { Exit::Done } else { failed })
}

fn print_settings(config: &Config) -> anyhow::Result<Exit> {
    const COLUMNS: [Column; 3] = [Column::text("setting", 0), Column::text("from", 0), Column::text("value", 0)];
    let row = |Setting { name, value, origin }: &Setting| {
        [name.clone(), visible(&origin.to_string()).into_owned(), visible(value).into_owned()]
    };
    let rows: Vec<_> = config.settings.iter().map(row).collect();
    lines(&COLUMNS, &rows, width()).iter().try_for_each(|line| print(line))?;
    Ok(Exit::Done)
}

/// Sends a test to each receiver.
async fn test_receivers(config: &Config) -> anyhow::Result<Exit> {
    let results = Notifier::new(&config.notify)?.test().await;
    anyhow::ensure!(!results.is_empty(), "there is no receiver; set notify.ping_url or notify.webhook_url");
    let mut are_all_told = true;
    for (channel, result) in results {
        let accepted = result.map(|()| ("it accepted the test".to_owned(), ())).map_err(Into::into);
        are_all_told &= tell(channel.as_str(), accepted)?.is_some();
    }
    Ok(if are_all_told { Exit::Done } else { Exit::Failed })
}

/// The checks that need the database, in the order in which they depend on each other.
async fn with_database(
    context: &Context,
    options: &Options,
    stations: Option<&[Station]>,
    database: &Database,
) -> anyhow::Result<bool> {
    let Context { config, stop, .. } = context;
    let connections = database.store.connections().map(|line| (line, ())).map_err(Into::into);
    let is_let_in = tell("connections", connections)?.is_some();
    tell("lock", lock_line(database).await)?;
    if database.store.is_superuser() && !database.is_private() {
        let role = database.store.target().role();
        print(&format!(
            "warning role: {role} is a superuser; connect as a role that may do no more than it must (deploy/roles.sql)"
        ))?;
    }
    if tell("tables", tables_line(database).await)?.is_none() {
        return Ok(false);
    }
    let Some(stations) = stations else { return Ok(false) };
    let is_modest = tell("next run", next_run_line(config, stations, database).await)?.is_some();
    tell("due", due_line(config, database).await)?;
    tell("quota", quota_line(config, database).await)?;
    // The request is counted in the database, so the tables must exist.
    if tell("key", key_line((config, stations), database, stop).await)?.is_none() {
        return Ok(false);
    }
    if !options.coverage {
        return Ok(is_let_in && is_modest);
    }
    let checked = coverage::check(config, database, (stations, options.station.as_deref()), stop).await;
    Ok(tell("coverage", checked)?.is_some() && is_let_in && is_modest)
}

/// Prints the line of a check, and returns its value if it passed.
fn tell<T>(what: &str, checked: anyhow::Result<(String, T)>) -> anyhow::Result<Option<T>> {
    match checked {
        Ok((line, value)) => {
            print(&format!("ok      {what}: {line}"))?;
            Ok(Some(value))
        }
        Err(error) => {
            // A name from the database must not look like a separate line.
            print(&format!("FAILED  {what}: {}", visible(&format!("{error:#}"))))?;
            Ok(None)
        }
    }
}

async fn stations_line(config: &Config, stop: &CancellationToken) -> anyhow::Result<(String, Vec<Station>)> {
    let (stations, left_out) = app::read_stations(config, stop).await?;
    let mut rows: Vec<String> = left_out.first.iter().map(|row| format!("\n        ignored: {row}")).collect();
    if left_out.more() > 0 {
        rows.push(format!("\n        and {} more", left_out.more()));
    }
    let keywords = config.crawl.keywords.len();
    Ok((
        format!("{}, {keywords} keywords, {} cells{}", stations.len(), stations.len() * keywords, rows.concat()),
        stations,
    ))
}

/// The session that holds the run lock. A held lock is not a failure: a run may be in progress.
async fn lock_line(database: &Database) -> anyhow::Result<(String, ())> {
    let holder = database.store.lock_holder().await?;
    Ok((holder.map_or_else(|| "free".to_owned(), |holder| format!("held by {}", visible(&holder.to_string()))), ()))
}

async fn tables_line(database: &Database) -> anyhow::Result<(String, ())> {
    match database.store.schema_state().await? {
        SchemaState::Current => Ok(("up to date".to_owned(), ())),
        SchemaState::Behind(missing) => {
            anyhow::bail!("{missing} migrations are missing; `sanggwond migrate` applies them")
        }
    }
}

/// What the next full run adds and retires.
async fn next_run_line(config: &Config, stations: &[Station], database: &Database) -> anyhow::Result<(String, ())> {
    let inventory = Inventory {
        stations: stations.to_vec(),
        keywords: config.crawl.keywords.clone(),
        radius_m: config.crawl.radius_m,
    };
    let preview = Preview::of(&database.store, &inventory).await?;
    let Difference { added_stations, added_keywords, .. } = &preview.difference;
    let added: Vec<&str> = added_keywords.iter().chain(added_stations).map(String::as_str).collect();
    let adds = match added.as_slice() {
        [] => "adds nothing".to_owned(),
        names => format!(
            "adds {} and {}: {}",
            counted(number_of(added_keywords), "keyword", "keywords"),
            counted(number_of(added_stations), "station", "stations"),
            first_few(names)
        ),
    };
    if !preview.difference.needs_consent() {
        return Ok((format!("{adds}; retires nothing"), ()));
    }
    anyhow::ensure!(
        !preview.takes_a_lot(),
        "would retire {preview}; the daemon holds that back and crawls them all the same; confirm it with `sanggwond crawl \
         --retire`, or correct the configuration"
    );
    Ok((format!("{adds}; retires or changes {preview} (by hand only with --retire)"), ()))
}

fn number_of<T>(items: &[T]) -> i64 {
    i64::try_from(items.len()).unwrap_or(i64::MAX)
}

async fn due_line(config: &Config, database: &Database) -> anyhow::Result<(String, ())> {
    let schedule = config.schedule.parse()?;
    let now = due::in_words(due::now(config, &schedule, &database.store).await?);
    let next = schedule.next_after(clock::now()).filter(|_| config.schedule.enabled);
    let next =
        next.map_or_else(|| "nothing starts by itself".to_owned(), |tick| format!("next run {}", describe(&tick)));
    let paused = due::pause(&database.store).await?.map(|pause| format!("the schedule is {pause}"));
    Ok((now.into_iter().chain(paused).chain([next]).collect::<Vec<_>>().join("; "), ()))
}

/// The requests of this day and month, and what the last full run says about the next one.
async fn quota_line(config: &Config, database: &Database) -> anyhow::Result<(String, ())> {
    let (quotas, price) = (config.kakao.quotas(), config.kakao.price_won);
    let used = database.store.usage(day_of(clock::now())).await?;
    if let Some(spent) = quotas.spent(used, day_of(clock::now())) {
        anyhow::bail!("{spent}");
    }
    let of = |used: i64, quota: u32| format!("{} of {}", count(used), count(quota));
    let (today, month) = (of(used.today, quotas.daily), of(used.this_month, quotas.monthly));
    let cost = if price.is_free() { String::new() } else { format!(" ({})", price.cost(used.this_month)) };
    let next = database.store.requests_of_last_full_run().await?.map(|requests| estimate(requests, price));
    let next = next.map(|next| format!("; {next}")).unwrap_or_default();
    Ok((format!("{today} requests today, {month} this month{cost}{next}"), ()))
}

async fn key_line(
    (config, stations): (&Config, &[Station]),
    database: &Database,
    stop: &CancellationToken,
) -> anyhow::Result<(String, ())> {
    let client = Client::new(&config.kakao, app::api_key(config)?)?;
    let (Some(station), Some(keyword)) = (stations.first(), config.crawl.keywords.first()) else {
        anyhow::bail!("there is nothing to ask for");
    };
    let circle = Circle { center: station.position, radius_m: config.crawl.radius_m };
    let search = Search::new(keyword, Area::Circle(circle));
    let allowance = Reserve::new(database.store.clone(), config.kakao.quotas());
    let page = client.once(&search, &allowance, stop, &mut Traffic::default()).await;
    allowance.close().await;
    let total = page?.meta.total_count;
    Ok((format!("accepted; {keyword} near {}: {total}", station.name), ()))
}
