//! The latency of read queries with a million places, and the cost of exporting them.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use sanggwond::domain::station::Station;
use sanggwond::store::{Store, Target};
use sqlx::PgConnection;
use tokio::process::Command;
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;

use crate::crawl::peak_mib;
use crate::database::Database;
use crate::table::Table;

/// The limits, in milliseconds.
const MAX_STATION_MS: f64 = 5.0;
const MAX_NEAR_MS: f64 = 10.0;
const MAX_FEED_MS: f64 = 5.0;
const MAX_SEARCH_MS: f64 = 10.0;
const MAX_NAME_MS: f64 = 500.0;
const MAX_MAP_MS: f64 = 10.0;

/// The limit of an export along the curve, which keeps the ids of all places, in MiB.
const MAX_PARQUET_MIB: f64 = 64.0;

/// The number of measured calls, and of warm-up calls before them.
const CALLS: usize = 300;
const WARM_UP: usize = 100;

/// The query that readers of the reference system send.
const STATION: &str = "SELECT * FROM local_info WHERE is_deleted = false AND station_name = $1 AND category = $2";

/// A thousand changed places.
const FEED: &str = "select * from place_feed($1, 1000)";

const SEARCH: &str = "select * from place_search($1, $2, $3, 20)";

/// What a map of about 600 by 450 m shows.
const MAP: &str = "select place_id, name, latitude, longitude from place
    where closed_at is null and point(longitude, latitude) <@ box(point($2 - 0.0035, $1 - 0.002), point($2 + 0.0035, $1 + 0.002))
    limit 500";

const NAMED: &str = "select * from local_info where name = $1";

const NEAR: &str = "select * from place_near($1, $2, 1000, $3, 20)";

/// A position and a keyword of a query.
type Question = (f64, f64, Option<String>);

/// Fills a database and measures queries.
pub(crate) async fn measure(table: &mut Table, stations: &[Station]) -> anyhow::Result<()> {
    let database = filled(stations).await?;
    let mut connection = database.pool.acquire().await?;
    let (places, listings): (i64, i64) =
        sqlx::query_as("select (select count(*) from place), (select count(*) from listing)")
            .fetch_one(&mut *connection)
            .await?;
    table.section(
        &format!("Reading, with {places} places and {listings} listings"),
        "Milliseconds of 300 calls on one warm connection, all rows read; statements are prepared. A station and a keyword \
         have 100 to 200 rows. The dense stations are the twentieth with the most listings, the sparse ones the tenth with \
         the fewest; a position is up to 500 m beside such a station; 미술관 are 0.3 % of all places.",
    )?;
    station(table, &mut connection).await?;
    for (what, area, keyword) in [
        ("place_near, dense", "dense", Some("식당")),
        ("place_near, sparse", "sparse", Some("식당")),
        ("place_near, dense, rare", "dense", Some("미술관")),
        ("place_near, sparse, rare", "sparse", Some("미술관")),
        ("place_near, dense, any", "dense", None),
    ] {
        near(table, &mut connection, (what, area, keyword)).await?;
    }
    search(table, &mut connection).await?;
    named(table, &mut connection).await?;
    map(table, &mut connection).await?;
    feed(table, &mut connection).await?;
    plans(&mut connection).await?;
    drop(connection);
    export(table, &database).await
}

async fn filled(stations: &[Station]) -> anyhow::Result<Database> {
    let database = Database::fresh().await;
    let store = Store::connect(&Target::parse(&database.url.clone().into())?).await?;
    let mut lock = store.try_lock().await?.context("another process holds the lock of a new database")?;
    store.migrate(&mut lock, sanggwond::clock::now()).await?;
    lock.release().await;
    store.close().await;
    for station in stations {
        sqlx::query("insert into station (name, region, lines, latitude, longitude) values ($1, $2, $3, $4, $5)")
            .bind(&station.name)
            .bind(&station.region)
            .bind(&station.lines)
            .bind(station.position.latitude())
            .bind(station.position.longitude())
            .execute(&database.pool)
            .await?;
    }
    let mut connection = database.pool.acquire().await?;
    sqlx::raw_sql(include_str!("reading.sql")).execute(&mut *connection).await?;
    sqlx::raw_sql("vacuum analyze").execute(&mut *connection).await?;
    drop(connection);
    Ok(database)
}

async fn station(table: &mut Table, connection: &mut PgConnection) -> anyhow::Result<()> {
    let questions: Vec<(String, String)> = sqlx::query_as(
        "select s.name, k.query from listing join station s using (station_id) join keyword k using (keyword_id)
         group by 1, 2 having count(distinct place_id) between 100 and 200 order by random() limit 400",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut times = Vec::new();
    for (name, query) in questions.iter().cycle().take(WARM_UP + CALLS) {
        let started = Instant::now();
        sqlx::query(STATION).bind(name).bind(query).fetch_all(&mut *connection).await?;
        times.push(started.elapsed());
    }
    lines(table, "local_info", &times, MAX_STATION_MS)
}

async fn near(
    table: &mut Table,
    connection: &mut PgConnection,
    (what, area, keyword): (&str, &str, Option<&str>),
) -> anyhow::Result<()> {
    let mut times = Vec::new();
    for (latitude, longitude, keyword) in questions(connection, area, keyword).await? {
        let started = Instant::now();
        sqlx::query(NEAR).bind(latitude).bind(longitude).bind(keyword).fetch_all(&mut *connection).await?;
        times.push(started.elapsed());
    }
    lines(table, what, &times, MAX_NEAR_MS)
}

async fn questions(connection: &mut PgConnection, area: &str, keyword: Option<&str>) -> anyhow::Result<Vec<Question>> {
    let sql = "select latitude + (random() - 0.5) * 0.009, longitude + (random() - 0.5) * 0.009, $2::text
        from (select latitude, longitude, percent_rank() over (order by count(*)) as rank
              from listing join station using (station_id) group by station.station_id) s,
            generate_series(1, 1000)
        where case $1 when 'dense' then rank > 0.95 else rank < 0.1 end
        order by random() limit $3";
    let limit = i64::try_from(WARM_UP + CALLS)?;
    Ok(sqlx::query_as(sql).bind(area).bind(keyword).bind(limit).fetch_all(connection).await?)
}

fn lines(table: &mut Table, what: &str, times: &[Duration], limit_ms: f64) -> anyhow::Result<()> {
    let mut times: Vec<f64> = times.iter().skip(WARM_UP).map(|time| time.as_secs_f64() * 1000.0).collect();
    times.sort_by(f64::total_cmp);
    table.line(&format!("{what}: p50, ms"), times[times.len() / 2], None)?;
    table.line(&format!("{what}: p95, ms"), times[times.len() * 95 / 100], Some(limit_ms))
}

/// Parts of two syllables, and of one to four, of random names, near other random places. Each is asked for once, so that
/// nothing is answered from what an earlier call has read.
async fn search(table: &mut Table, connection: &mut PgConnection) -> anyhow::Result<()> {
    for (what, shortest, longest) in [("two syllables", 2, 2), ("one to four", 1, 4)] {
        let texts: Vec<(String, f64, f64)> = sqlx::query_as(
            "select part, latitude, longitude
             from (select trim(substr(name, 1 + floor(random() * 3)::int, $1 + floor(random() * ($2 - $1 + 1))::int)) as part,
                     row_number() over () as number
                   from (select name from place order by random() limit 1000) n) named
             join (select latitude, longitude, row_number() over () as number
                   from (select latitude, longitude from place order by random() limit 1000) p) placed using (number)
             where length(part) >= $1 limit $3",
        )
        .bind(shortest)
        .bind(longest)
        .bind(i64::try_from(WARM_UP + CALLS)?)
        .fetch_all(&mut *connection)
        .await?;
        let mut times = Vec::new();
        for (part, latitude, longitude) in texts {
            let started = Instant::now();
            sqlx::query(SEARCH).bind(part).bind(latitude).bind(longitude).fetch_all(&mut *connection).await?;
            times.push(started.elapsed());
        }
        lines(table, &format!("place_search, {what}"), &times, MAX_SEARCH_MS)?;
    }
    Ok(())
}

async fn named(table: &mut Table, connection: &mut PgConnection) -> anyhow::Result<()> {
    let names: Vec<String> = sqlx::query_scalar("select name from place order by random() limit $1")
        .bind(i64::try_from(WARM_UP + CALLS)?)
        .fetch_all(&mut *connection)
        .await?;
    let mut times = Vec::new();
    for name in names {
        let started = Instant::now();
        sqlx::query(NAMED).bind(name).fetch_all(&mut *connection).await?;
        times.push(started.elapsed());
    }
    lines(table, "local_info by name", &times, MAX_NAME_MS)
}

async fn map(table: &mut Table, connection: &mut PgConnection) -> anyhow::Result<()> {
    let mut times = Vec::new();
    for (latitude, longitude, _) in questions(connection, "dense", None).await? {
        let started = Instant::now();
        sqlx::query(MAP).bind(latitude).bind(longitude).fetch_all(&mut *connection).await?;
        times.push(started.elapsed());
    }
    lines(table, "a map of 600 m, dense", &times, MAX_MAP_MS)
}

/// A page of the feed, after versions anywhere in it.
async fn feed(table: &mut Table, connection: &mut PgConnection) -> anyhow::Result<()> {
    let last: i64 = sqlx::query_scalar("select max(version) from place_version").fetch_one(&mut *connection).await?;
    let mut times = Vec::new();
    for call in 0..WARM_UP + CALLS {
        let after = last / 1000 * (i64::try_from(call)? * 617 % 1000);
        let started = Instant::now();
        sqlx::query(FEED).bind(after).fetch_all(&mut *connection).await?;
        times.push(started.elapsed());
    }
    lines(table, "place_feed, 1,000 rows", &times, MAX_FEED_MS)
}

/// Prints the plan of one call of each query.
async fn plans(connection: &mut PgConnection) -> anyhow::Result<()> {
    let (name, query): (String, String) = sqlx::query_as(
        "select s.name, k.query from listing join station s using (station_id) join keyword k using (keyword_id)
         group by 1, 2 having count(distinct place_id) between 190 and 200 limit 1",
    )
    .fetch_one(&mut *connection)
    .await?;
    let explain = STATION.replace("$1", &format!("'{name}'")).replace("$2", &format!("'{query}'"));
    let explain = format!("explain (analyze, buffers) {explain}");
    let lines: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(explain)).fetch_all(&mut *connection).await?;
    print_plan(&format!("local_info of {name}, {query}"), &lines.join("\n"))?;
    for keyword in [Some("식당"), Some("미술관")] {
        let (latitude, longitude, keyword) = questions(connection, "dense", keyword).await?.swap_remove(0);
        // The statements are inside a function, so their plans are logged with auto_explain.
        let told = Told::default();
        sqlx::raw_sql(
            "load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on;
             set auto_explain.log_analyze = on; set auto_explain.log_buffers = on; set client_min_messages = log",
        )
        .execute(&mut *connection)
        .await?;
        {
            let _listening = told.listen();
            sqlx::query(NEAR).bind(latitude).bind(longitude).bind(&keyword).fetch_all(&mut *connection).await?;
        }
        sqlx::raw_sql("set auto_explain.log_min_duration = -1; set client_min_messages = warning")
            .execute(&mut *connection)
            .await?;
        let title = format!("place_near({latitude:.5}, {longitude:.5}, 1000, {}, 20)", keyword.unwrap_or_default());
        print_plan(&title, &told.plans())?;
    }
    Ok(())
}

fn print_plan(title: &str, plan: &str) -> anyhow::Result<()> {
    let mut text = format!("\n    {title}\n");
    for line in plan.lines() {
        writeln!(text, "      {line}")?;
    }
    Ok(io::stdout().write_all(text.as_bytes())?)
}

/// The notices that the server sent.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u8>>>);

impl Told {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let told = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("sqlx::postgres::notice=trace"))
            .with_ansi(false)
            .without_time()
            .with_writer(move || told.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    /// The plans that read data, without the statements.
    fn plans(&self) -> String {
        let told = self.0.lock().map(|told| String::from_utf8_lossy(&told).into_owned()).unwrap_or_default();
        let plans = told.split("duration: ").filter(|plan| plan.contains("Buffers") && !plan.contains("Function Scan"));
        let lines = plans.flat_map(|plan| plan.lines().skip_while(|line| !line.contains("(cost=")));
        lines
            .filter(|line| line.contains("->") || line.contains(':') || line.contains("(cost="))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

impl io::Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Ok(mut told) = self.0.lock() {
            told.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether the memory of an export grows with its size.
async fn export(table: &mut Table, database: &Database) -> anyhow::Result<()> {
    table.section(
        "The memory of an export does not grow with the number of places",
        "VmHWM of sanggwond export, of the places near the busiest station next to all places, which are a hundred times as \
         many. For parquet the ids of all places are sorted along the curve first.",
    )?;
    let busiest: String = sqlx::query_scalar(
        "select name from listing join station using (station_id) group by station.station_id order by count(*) desc limit 1",
    )
    .fetch_one(&database.pool)
    .await?;
    for (format, max_ratio, max_mib) in
        [("csv", Some(1.25), None), ("geojson", Some(1.25), None), ("parquet", None, Some(MAX_PARQUET_MIB))]
    {
        let (part_mib, _) = exported(database, &["--format", format, "--station", &busiest]).await?;
        let (whole_mib, elapsed) = exported(database, &["--format", format, "--all"]).await?;
        table.line(&format!("{format}: near one station, MiB"), part_mib, None)?;
        table.line(&format!("{format}: everything, MiB"), whole_mib, max_mib)?;
        table.line(&format!("{format}: everything ÷ one station"), whole_mib / part_mib, max_ratio)?;
        table.line(&format!("{format}: everything, s"), elapsed.as_secs_f64(), None)?;
    }
    Ok(())
}

async fn exported(database: &Database, arguments: &[&str]) -> anyhow::Result<(f64, Duration)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sanggwond"));
    command.arg("export").args(arguments).env_clear().env("DATABASE_URL", &database.url);
    let started = Instant::now();
    let mut export = command.stdout(Stdio::null()).kill_on_drop(true).spawn()?;
    let process = export.id().context("the export has already ended")?.to_string();
    let mut most_mib = 0.0;
    let status = loop {
        // A process that is exiting has no memory figures any more.
        most_mib = peak_mib(&process).unwrap_or(most_mib);
        if let Ok(status) = tokio::time::timeout(Duration::from_millis(2), export.wait()).await {
            break status?;
        }
    };
    anyhow::ensure!(status.success(), "the export ended with {status}");
    Ok((most_mib, started.elapsed()))
}
