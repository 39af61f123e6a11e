//! `check --coverage`: whether the API keeps what complete coverage relies on.
//!
//! Around one station the same search is made three ways: in a circle, in the rectangle around it and in the quarters of
//! that. Each must show as many places as it counts, all of them where they were looked for, and the three must agree.

use std::collections::BTreeSet;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::app::{self, Database};
use crate::config::Config;
use crate::crawl::allowance::Reserve;
use crate::crawl::cover::{CAPACITY, Circles};
use crate::domain::cell::{Evidence, Shown, Step, next_step};
use crate::domain::geo::{Area, Circle, Rect};
use crate::domain::keyword::Keyword;
use crate::kakao::{Client, Search};
use crate::stations;

/// How far around the station it is looked: farther, few keywords have no more places than the API shows.
const MAX_RADIUS_M: u32 = 1000;

/// Asks the API, and nothing else.
struct Asker<'a> {
    client: Client,
    allowance: Reserve<'a>,
    config: &'a Config,
    stop: &'a CancellationToken,
    requests: u32,
}

/// Compares the three ways, and returns a line that says how they agree.
pub(super) async fn compare(
    config: &Config,
    database: &Database,
    wanted: Option<&str>,
    stop: &CancellationToken,
) -> anyhow::Result<(String, ())> {
    let (stations, _) = stations::load(config.crawl.stations.as_deref())?;
    let is_meant = |name: &str| wanted.is_none_or(|wanted| name == wanted || name.strip_suffix('역') == Some(wanted));
    let station = stations.iter().find(|known| is_meant(&known.name));
    let station = station.with_context(|| format!("no station is called {:?}", wanted.unwrap_or_default()))?;
    let circle = Circle { center: station.position, radius_m: config.crawl.radius_m.min(MAX_RADIUS_M) };
    let client = Client::new(&config.kakao, app::api_key(config)?)?;
    let allowance = Reserve::new(&database.store, config.kakao.daily_quota.get());
    let mut asker = Asker { client, allowance, config, stop, requests: 0 };
    let compared = asker.compare(circle).await;
    asker.allowance.close().await;
    let line = compared?;
    Ok((format!("near {}, {} requests: {line}", station.name, asker.requests), ()))
}

impl<'a> Asker<'a> {
    async fn compare(&mut self, circle: Circle) -> anyhow::Result<String> {
        let frame = Circles::new([circle]).cover(Vec::new(), CAPACITY);
        let frame = *frame.first().context("a circle has no frame")?;
        let (keyword, whole) = self.suitable(frame).await?;
        let in_circle = self.read(keyword, Area::Circle(circle)).await?;
        let mut parts = vec![("circle", &in_circle), ("rectangle", &whole)];
        let mut quarters = Vec::new();
        for quarter in quarters_of(frame) {
            quarters.push(self.read(keyword, Area::Rect(quarter.grown())).await?);
        }
        parts.extend(quarters.iter().map(|quarter| ("quarter", quarter)));
        for (what, evidence) in parts {
            anyhow::ensure!(
                evidence.shown() == Shown::All,
                "the {what} counts {} of {keyword}, but does not show as many different places that lie in it",
                evidence.total_count()
            );
        }
        agree(circle, &in_circle, &whole, &quarters)?;
        let (in_circle, whole) = (in_circle.total_count(), whole.total_count());
        Ok(format!("{keyword} {in_circle} in the circle, {whole} in the rectangle and in its quarters"))
    }

    /// A keyword with places in a rectangle, but no more than the API shows, and what it finds there.
    async fn suitable(&mut self, rect: Rect) -> anyhow::Result<(&'a Keyword, Evidence)> {
        let config = self.config;
        for keyword in &config.crawl.keywords {
            let evidence = self.read(keyword, Area::Rect(rect.grown())).await?;
            if evidence.total_count() > 0 && !evidence.is_cut_off() {
                return Ok((keyword, evidence));
            }
        }
        anyhow::bail!("no keyword has one to 45 places there; name another station with --station")
    }

    /// Reads the pages of a search, or the first where it shows less than it found.
    async fn read(&mut self, keyword: &Keyword, area: Area) -> anyhow::Result<Evidence> {
        let mut evidence = Evidence::of(area);
        let mut search = Search::new(keyword, area);
        loop {
            self.requests += 1;
            let page = self.client.once(&search, &self.allowance, self.stop).await?;
            let step = next_step(search.page, page.meta, page.documents);
            evidence.add(page.meta, page.places, page.rejected);
            match step {
                Step::Page(next) if !evidence.is_cut_off() => search.page = next,
                Step::Page(_) | Step::Done => return Ok(evidence),
            }
            tokio::time::sleep(self.config.crawl.page_delay).await;
        }
    }
}

/// Whether the three ways found the same places.
fn agree(circle: Circle, in_circle: &Evidence, whole: &Evidence, quarters: &[Evidence]) -> anyhow::Result<()> {
    let ids = |evidence: &Evidence| evidence.places().iter().map(|place| place.id.clone()).collect::<BTreeSet<_>>();
    let near = whole.places().iter().filter(|place| circle.contains(place.position)).map(|place| place.id.clone());
    anyhow::ensure!(
        near.collect::<BTreeSet<_>>() == ids(in_circle),
        "the circle does not show the same places as the rectangle around it"
    );
    anyhow::ensure!(
        quarters.iter().flat_map(ids).collect::<BTreeSet<_>>() == ids(whole),
        "the quarters do not show the same places as the rectangle"
    );
    Ok(())
}

fn quarters_of(rect: Rect) -> [Rect; 4] {
    let (latitude, longitude) = (rect.center().latitude(), rect.center().longitude());
    let (west, east) = (Rect { east: longitude, ..rect }, Rect { west: longitude, ..rect });
    let [south_west, south_east] = [west, east].map(|half| Rect { north: latitude, ..half });
    let [north_west, north_east] = [west, east].map(|half| Rect { south: latitude, ..half });
    [south_west, south_east, north_west, north_east]
}
