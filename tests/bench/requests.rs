//! The number of requests that a crawl needs, computed from the world itself.

use anyhow::Context as _;
use sanggwond::domain::cell::PAGE_SIZE;
use sanggwond::domain::geo::{Area, Circle, LatLng};
use sanggwond::domain::station::Station;
use sanggwond::standin::{DEMO_PLACES, Recipe, Search, World};

/// `crawl.keywords` by default.
pub(crate) const KEYWORDS: [&str; 10] =
    ["스터디룸", "식당", "카페", "호프", "헬스클럽", "도서관", "공원", "미술관", "애견카페", "셀프사진"];

/// Maximum number of pages of a search.
const MAX_PAGES: u32 = 3;

/// The number of requests of a crawl.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requests {
    /// With one search around every station.
    pub(crate) by_station: u32,
    /// With one search around every row of the station file.
    pub(crate) by_row: u32,
}

/// Counts the pages of all keywords, in the world that `sanggwond standin` serves by default.
pub(crate) fn count(stations: &[Station]) -> anyhow::Result<Requests> {
    let world = World::generate(&Recipe { seed: 1, week: 0, places: DEMO_PLACES }, stations);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/data/subwayinfo.csv");
    let mut by_row = 0;
    for row in csv::ReaderBuilder::new().has_headers(false).from_path(file)?.records() {
        let row = row?;
        let degrees = |column| anyhow::Ok(row.get(column).context("a column is missing")?.trim().parse()?);
        by_row += pages(&world, LatLng::new(degrees(2)?, degrees(3)?)?);
    }
    let by_station: u32 = stations.iter().map(|station| pages(&world, station.position)).sum();
    Ok(Requests { by_station, by_row })
}

/// The number of pages of all keywords around one position. A search without results has one page.
fn pages(world: &World, center: LatLng) -> u32 {
    let area = Some(Area::Circle(Circle { center, radius_m: 1000 }));
    let found = |query: &str| {
        let search = Search { query: Some(query.to_owned()), area, ..Search::default() };
        u32::try_from(world.search(&search).len()).unwrap_or(u32::MAX)
    };
    KEYWORDS.iter().map(|query| found(query).div_ceil(PAGE_SIZE).clamp(1, MAX_PAGES)).sum()
}
