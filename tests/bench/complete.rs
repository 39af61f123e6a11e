//! What complete coverage finds and what it costs, next to one search around every station.

use std::collections::BTreeSet;

use sanggwond::crawl::cover::{CAPACITY, Circles};
use sanggwond::domain::geo::{Area, Circle, LatLng};
use sanggwond::domain::station::Station;
use sanggwond::standin::{Recipe, Search, World};
use tokio::time::Instant;

use crate::crawl::{Crawl, Crawled, peak_mib};
use crate::database::Database;
use crate::requests::KEYWORDS;
use crate::table::Table;

/// The most that a complete crawl may take, its known positions included.
const MAX_MIB: f64 = 64.0;

/// So many positions are planned for.
const POSITIONS: u32 = 1_000_000;

/// What the two most common keywords are; the other eight are rarer.
const COMMON: &str = "('식당', '카페')";

/// A run of one of the coverages, and its limits.
struct Run<'a> {
    name: &'static str,
    crawled: &'a Crawled,
    /// Requests for each fifteen hits.
    most: Option<f64>,
    /// Requests for the eight rarer keywords, next to those of a crawl by station.
    most_rarer: Option<f64>,
}

/// A generated world and the stations that it lies around.
#[derive(Clone, Copy)]
struct Ground<'a> {
    stations: &'a [Station],
    places: usize,
}

/// Crawls a world of so many places: by station, then completely, and once more a week later.
///
/// The limits of the rarer keywords hold for the smaller world only: in the larger one their hits ÷ 15 alone are more.
pub(crate) async fn compare(table: &mut Table, stations: &[Station], places: usize) -> anyhow::Result<()> {
    let ground = Ground { stations, places };
    let crawl = Crawl { stations: stations.len(), places, ..Crawl::AT_ONCE };
    let is_small = places <= 100_000;
    table.section(
        &format!("Every place: {places} places around {} stations, ten keywords", stations.len()),
        "Hits are pairs of place and keyword that a run's answers brought; found is the share of all such pairs within \
         1,000 m of a station, by the stand-in's own list; rarer are the eight keywords besides 식당 and 카페, next to what \
         a crawl by station asks for them.",
    )?;
    let by_station = crawl.run().await?;
    let rarer = Told::of(&by_station.database).await?.rarer;
    let station = Run { name: "station", crawled: &by_station, most: None, most_rarer: None };
    station.print(table, ground, rarer, 0).await?;
    let first = Crawl { coverage: "complete", ..crawl }.run().await?;
    let most_rarer = is_small.then_some(0.5);
    Run { name: "first", crawled: &first, most: Some(1.75), most_rarer }.print(table, ground, rarer, 0).await?;
    let later = Crawl { coverage: "complete", week: 1, ..crawl }.run_into(first.database).await?;
    let most_rarer = is_small.then_some(1.0 / 3.0);
    Run { name: "later", crawled: &later, most: Some(1.2), most_rarer }.print(table, ground, rarer, 1).await
}

impl Run<'_> {
    async fn print(&self, table: &mut Table, ground: Ground<'_>, by_station: f64, week: u32) -> anyhow::Result<()> {
        let requests = f64::from(self.crawled.summary.requests);
        let told = Told::of(&self.crawled.database).await?;
        let (found, missing) = ground.found(&self.crawled.database, week).await?;
        let mut line = |what: &str, value, most| table.line(&format!("{}: {what}", self.name), value, most);
        line("requests", requests, None)?;
        line("hits", told.hits, None)?;
        line("places per request", told.places / requests, None)?;
        line("share of all found, %", found / (found + missing) * 100.0, None)?;
        line("pairs missing", missing, self.most.map(|_| 0.5))?;
        line("requests ÷ (hits ÷ 15)", requests * 15.0 / told.hits, self.most)?;
        line("rarer ÷ by station", told.rarer / by_station, self.most_rarer)?;
        line("rarer hits ÷ 15 ÷ by station", told.rarer_hits / 15.0 / by_station, None)?;
        line("peak memory, MiB", self.crawled.peak_mib, Some(MAX_MIB))
    }
}

/// What the last run's rows tell.
struct Told {
    hits: f64,
    places: f64,
    rarer: f64,
    rarer_hits: f64,
}

impl Told {
    async fn of(database: &Database) -> anyhow::Result<Self> {
        let sql = format!(
            "with last as (select max(crawl_run_id) as run from crawl_run),
                 hit as (select k.place_id, query not in {COMMON} as is_rarer from place_keyword k
                     join keyword using (keyword_id), last where last_seen_run = run)
             select (select count(*) from hit)::float8, (select count(distinct place_id) from hit)::float8,
                 (select sum(attempts) from crawl_cell join keyword using (keyword_id), last
                  where crawl_run_id = run and query not in {COMMON})::float8,
                 (select count(*) from hit where is_rarer)::float8"
        );
        let (hits, places, rarer, rarer_hits) =
            sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_one(&database.pool).await?;
        Ok(Self { hits, places, rarer, rarer_hits })
    }
}

impl Ground<'_> {
    /// How many pairs of place and keyword around stations the last run has found, and how many it has not.
    async fn found(self, database: &Database, week: u32) -> anyhow::Result<(f64, f64)> {
        let world = World::generate(&Recipe { seed: 1, week, places: self.places }, self.stations);
        let mut missing = BTreeSet::new();
        for station in self.stations {
            for query in KEYWORDS {
                let area = Some(Area::Circle(Circle { center: station.position, radius_m: 1000 }));
                let shown = world.search(&Search { query: Some(query.to_owned()), area, ..Search::default() });
                missing.extend(shown.into_iter().map(|one| format!("{}|{query}", one.place.id)));
            }
        }
        let stored: Vec<String> = sqlx::query_scalar(
            "select format('%s|%s', place_id, query) from place_keyword join keyword using (keyword_id)
             where last_seen_run = (select max(crawl_run_id) from crawl_run)",
        )
        .fetch_all(&database.pool)
        .await?;
        let found = stored.iter().filter(|pair| missing.remove(*pair)).count();
        Ok((u32::try_from(found)?.into(), u32::try_from(missing.len())?.into()))
    }
}

/// How long planning takes, and how much memory, with a million known positions.
pub(crate) fn planning(table: &mut Table, stations: &[Station]) -> anyhow::Result<()> {
    let circles = Circles::new(stations.iter().map(|station| Circle { center: station.position, radius_m: 1000 }));
    let positions = positions(stations)?;
    // Writing 5 forgets the peak until now.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let before_mib = peak_mib("self")?;
    let started = Instant::now();
    let rects = circles.cover(positions, CAPACITY);
    let elapsed = started.elapsed();
    table.section(
        "Planning with 1,000,000 known positions",
        "Of one keyword, the more the nearer to a station; memory is the growth of VmHWM, without the positions themselves.",
    )?;
    table.line("elapsed, s", elapsed.as_secs_f64(), Some(1.0))?;
    table.line("memory, MiB", peak_mib("self")? - before_mib, Some(100.0))?;
    table.line("rectangles", f64::from(u32::try_from(rects.len())?), None)
}

/// Positions that crowd around stations, the more the nearer.
fn positions(stations: &[Station]) -> anyhow::Result<Vec<LatLng>> {
    let around = |(number, station): (u32, &Station)| {
        let distance = 0.01 * (f64::from(number) * 0.618_033_988).fract().powi(2);
        let (east, north) = (f64::from(number) * 2.4).sin_cos();
        let at = station.position;
        Ok(LatLng::new(at.latitude() + north * distance, at.longitude() + east * distance)?)
    };
    (0..POSITIONS).zip(stations.iter().cycle()).map(around).collect()
}
