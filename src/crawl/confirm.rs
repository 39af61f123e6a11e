//! Asking for a place by its name before it is closed.
//!
//! A keyword search ranks by relevance, so a place can drop out of it without being gone. One request asks for the name
//! around the place's position; what comes back with the same id stays open, with its newest content.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Crawl;
use crate::clock;
use crate::domain::cell::{Sort, Traffic};
use crate::domain::geo::{Area, Circle};
use crate::domain::keyword::Keyword;
use crate::domain::place::{Place, PlaceId};
use crate::kakao::{Allowance, Error, Search};
use crate::store::{self, Leaving};

/// How many are asked for before the answers are stored.
const CHUNK: usize = 50;

/// How far around its position a place must not be before it is taken for absent.
const NEAR_M: f64 = 100.0;

/// What is known of places that no keyword finds any more.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Not there under their names either.
    pub(super) absent: BTreeSet<PlaceId>,
    /// There all the same.
    pub(super) present: BTreeSet<PlaceId>,
    /// The API does not take the question.
    pub(super) unasked: BTreeSet<PlaceId>,
}

/// Asks for so many of these places. What ends the asking early, but the stop token, leaves the rest for the next run:
/// every cell is done, and nothing is lost by waiting. `None` means stopped.
pub(super) async fn ask<A: Allowance>(
    crawl: &Crawl<'_, A>,
    leaving: &[Leaving],
    most: u32,
    stop: &CancellationToken,
) -> Result<Option<Answers>, store::Error> {
    let mut answers = Answers::default();
    let asked = &leaving[..leaving.len().min(most as usize)];
    if !asked.is_empty() {
        let (run, count, waiting) = (crawl.fence.run, asked.len(), leaving.len() - asked.len());
        info!(run.id = %run, "asking by name before places are closed: for {count}, while {waiting} wait for the next run");
    }
    for chunk in asked.chunks(CHUNK) {
        let replies = join_all(chunk.iter().map(|place| ask_for(crawl, place, stop))).await;
        let mut traffic = Traffic::default();
        let mut there = Vec::new();
        let mut end = None;
        for (place, (cost, reply)) in chunk.iter().zip(replies) {
            traffic += cost;
            match reply {
                Ok(Reply::There(found)) => there.push(*found),
                Ok(Reply::Absent) => drop(answers.absent.insert(place.id.clone())),
                Ok(Reply::Unclear) => {}
                Err(Error::Cell(_)) => drop(answers.unasked.insert(place.id.clone())),
                Err(error) => end = Some(error),
            }
        }
        let written = crawl.store.confirm(crawl.fence, &crawl.ground.map, (&there, traffic), clock::now()).await?;
        crawl.progress.wrote(written);
        answers.present.extend(there.into_iter().map(|place| place.id));
        match end {
            Some(Error::Stopped) => return Ok(None),
            Some(error) => {
                warn!(run.id = %crawl.fence.run, "no more places are asked for: {error}");
                break;
            }
            None => {}
        }
    }
    Ok(Some(answers))
}

/// What an answer says of a place.
#[derive(Clone, Debug, PartialEq)]
enum Reply {
    There(Box<Place>),
    Absent,
    /// So many others of its name are there that it may be one of those which are not shown.
    Unclear,
}

async fn ask_for<A: Allowance>(
    crawl: &Crawl<'_, A>,
    place: &Leaving,
    stop: &CancellationToken,
) -> (Traffic, Result<Reply, Error>) {
    let mut traffic = Traffic::default();
    // A place without a name cannot be asked for, and was missed often enough.
    let Ok(name) = Keyword::new(&place.name, None) else { return (traffic, Ok(Reply::Absent)) };
    let circle = Circle { center: place.position, radius_m: crawl.ground.map.radius_m() };
    // The nearest first: by relevance, a chain's other shops may take the whole page.
    let search = Search { sort: Sort::Distance, ..Search::new(&name, Area::Circle(circle)) };
    let page = crawl.client.page(&search, crawl.allowance, stop, &mut traffic).await;
    (traffic, page.map(|page| judge(place, page.places, page.meta.total_count)))
}

/// It is there if its id comes back, and absent if all that is near was shown without it.
fn judge(place: &Leaving, found: Vec<Place>, total_count: u32) -> Reply {
    let is_whole = found.len() >= total_count as usize;
    let farthest_m = found.iter().map(|other| other.position.distance_m(place.position)).fold(0.0, f64::max);
    match found.into_iter().find(|other| other.id == place.id) {
        Some(found) => Reply::There(Box::new(found)),
        None if is_whole || farthest_m >= NEAR_M => Reply::Absent,
        None => Reply::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::geo::LatLng;

    fn shop(id: u32, metres: f64) -> Place {
        Place {
            id: PlaceId::parse(&id.to_string()).unwrap(),
            name: "편의점".to_owned(),
            category_name: None,
            category_group_code: None,
            phone: None,
            address: None,
            road_address: None,
            position: LatLng::new(37.5 + metres / 111_000.0, 127.0).unwrap(),
            url: None,
        }
    }

    #[test]
    fn a_shop_of_a_chain_is_absent_only_where_all_that_is_near_was_shown() {
        let Place { id, name, position, .. } = shop(1, 0.0);
        let asked = Leaving { id, name, position };
        let others = |farthest_m: f64| (2..17).map(move |id| shop(id, farthest_m * f64::from(id - 1) / 15.0)).collect();

        assert_eq!(judge(&asked, others(50.0), 15), Reply::Absent);
        assert_eq!(judge(&asked, others(50.0), 40), Reply::Unclear);
        assert_eq!(judge(&asked, others(150.0), 40), Reply::Absent);
        assert_eq!(judge(&asked, vec![shop(2, 10.0), shop(1, 5.0)], 40), Reply::There(Box::new(shop(1, 5.0))));
        assert_eq!(judge(&asked, Vec::new(), 0), Reply::Absent);
    }
}
