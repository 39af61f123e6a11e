//! `check --coverage`: checks that the API behaves as complete coverage requires.
//!
//! One keyword is searched around one station in three ways: in a circle, in the rectangle around it, and in the four
//! sub-rectangles of that rectangle. Each search must return as many different places as it counts, all of them inside its
//! area, and the three results must agree.

use std::collections::BTreeSet;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::app::{self, Database};
use crate::config::Config;
use crate::crawl::allowance::Reserve;
use crate::crawl::cover::{Circles, Requests};
use crate::domain::cell::{Evidence, Shown, Step, next_step};
use crate::domain::churn::Churn;
use crate::domain::geo::{Area, Circle, Rect};
use crate::domain::keyword::Keyword;
use crate::domain::station::Station;
use crate::kakao::{Client, Search};

/// Maximum radius of the comparison. In a larger one, few keywords have no more places than the API shows.
const MAX_RADIUS_M: u32 = 1000;

/// Sends the searches and counts their requests.
struct Asker<'a> {
    client: Client,
    allowance: Reserve,
    config: &'a Config,
    stop: &'a CancellationToken,
    requests: u32,
}

/// Compares the three ways, and returns a line with the result.
pub(super) async fn compare(
    config: &Config,
    database: &Database,
    (stations, wanted): (&[Station], Option<&str>),
    stop: &CancellationToken,
) -> anyhow::Result<(String, ())> {
    let is_meant = |name: &str| wanted.is_none_or(|wanted| name == wanted || name.strip_suffix('역') == Some(wanted));
    let station = stations.iter().find(|known| is_meant(&known.name));
    let station = station.with_context(|| format!("no station is called {:?}", wanted.unwrap_or_default()))?;
    let circle = Circle { center: station.position, radius_m: config.crawl.radius_m.min(MAX_RADIUS_M) };
    let client = Client::new(&config.kakao, app::api_key(config)?)?;
    let allowance = Reserve::new(database.store.clone(), config.kakao.quotas());
    let mut asker = Asker { client, allowance, config, stop, requests: 0 };
    let compared = asker.compare(circle).await;
    asker.allowance.close().await;
    let line = compared?;
    Ok((format!("near {}, {} requests: {line}", station.name, asker.requests), ()))
}

impl<'a> Asker<'a> {
    async fn compare(&mut self, circle: Circle) -> anyhow::Result<String> {
        let frame = Circles::new([circle]).cover(Vec::new(), &Requests::after(Churn::default()));
        let frame = *frame.first().context("a circle has no frame")?;
        let (keyword, whole) = self.suitable(frame).await?;
        let in_circle = self.read(keyword, Area::Circle(circle)).await?;
        let mut parts = vec![("circle", &in_circle), ("rectangle", &whole)];
        let mut sub_rectangles = Vec::new();
        for sub_rectangle in sub_rectangles_of(frame) {
            sub_rectangles.push(self.read(keyword, Area::Rect(sub_rectangle.grown())).await?);
        }
        parts.extend(sub_rectangles.iter().map(|sub_rectangle| ("sub-rectangle", sub_rectangle)));
        for (what, evidence) in parts {
            anyhow::ensure!(
                evidence.shown() == Shown::All,
                "the {what} counts {} of {keyword}, but does not show as many different places that lie in it",
                evidence.total_count()
            );
        }
        agree(circle, &in_circle, &whole, &sub_rectangles)?;
        let (in_circle, whole) = (in_circle.total_count(), whole.total_count());
        Ok(format!("{keyword} {in_circle} in the circle, {whole} in the rectangle and in its sub-rectangles"))
    }

    /// The first keyword that has places in a rectangle, but no more than the API shows, and the places found.
    async fn suitable(&mut self, rect: Rect) -> anyhow::Result<(&'a Keyword, Evidence)> {
        let config = self.config;
        for keyword in &config.crawl.keywords {
            let evidence = self.read(keyword, Area::Rect(rect.grown())).await?;
            if evidence.total_count() > 0 && !evidence.is_truncated() {
                return Ok((keyword, evidence));
            }
        }
        anyhow::bail!("no keyword has one to 45 places there; name another station with --station")
    }

    /// Reads all pages of a search, or only the first one if the API truncates the search.
    async fn read(&mut self, keyword: &Keyword, area: Area) -> anyhow::Result<Evidence> {
        let mut evidence = Evidence::of(area);
        let mut search = Search::new(keyword, area);
        loop {
            self.requests += 1;
            let page = self.client.once(&search, &self.allowance, self.stop).await?;
            let step = next_step(search.page, page.meta, page.documents);
            evidence.add(page.meta, page.places, page.rejected);
            match step {
                Step::Page(next) if !evidence.is_truncated() => search.page = next,
                Step::Page(_) | Step::Done => return Ok(evidence),
            }
            tokio::time::sleep(self.config.crawl.page_delay).await;
        }
    }
}

/// Checks that the three ways found the same places.
fn agree(circle: Circle, in_circle: &Evidence, whole: &Evidence, sub_rectangles: &[Evidence]) -> anyhow::Result<()> {
    let ids = |evidence: &Evidence| evidence.places().iter().map(|place| place.id.clone()).collect::<BTreeSet<_>>();
    let near = whole.places().iter().filter(|place| circle.contains(place.position)).map(|place| place.id.clone());
    anyhow::ensure!(
        near.collect::<BTreeSet<_>>() == ids(in_circle),
        "the circle does not show the same places as the rectangle around it"
    );
    anyhow::ensure!(
        sub_rectangles.iter().flat_map(ids).collect::<BTreeSet<_>>() == ids(whole),
        "the sub-rectangles do not show the same places as the rectangle"
    );
    Ok(())
}

fn sub_rectangles_of(rect: Rect) -> [Rect; 4] {
    let (latitude, longitude) = (rect.center().latitude(), rect.center().longitude());
    let (west, east) = (Rect { east: longitude, ..rect }, Rect { west: longitude, ..rect });
    let [south_west, south_east] = [west, east].map(|half| Rect { north: latitude, ..half });
    let [north_west, north_east] = [west, east].map(|half| Rect { south: latitude, ..half });
    [south_west, south_east, north_west, north_east]
}
