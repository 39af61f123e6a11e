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
use crate::domain::cell::Traffic;
use crate::domain::geo::{Area, Circle};
use crate::domain::keyword::Keyword;
use crate::domain::place::{Place, PlaceId};
use crate::kakao::{Allowance, Error, Search};
use crate::store::{self, Leaving};

/// How many are asked for before the answers are stored.
const CHUNK: usize = 50;

/// What is known of places that no keyword finds any more.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Not there under their names either.
    pub(super) absent: BTreeSet<PlaceId>,
    /// There all the same.
    pub(super) present: BTreeSet<PlaceId>,
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
        info!(run.id = %run, "asking for {count} places by name before they are closed; {waiting} wait for the next run");
    }
    for chunk in asked.chunks(CHUNK) {
        let replies = join_all(chunk.iter().map(|place| ask_for(crawl, place, stop))).await;
        let mut traffic = Traffic::default();
        let mut there = Vec::new();
        let mut end = None;
        for (place, (cost, reply)) in chunk.iter().zip(replies) {
            traffic += cost;
            match reply {
                Ok(Some(found)) => there.push(found),
                Ok(None) => drop(answers.absent.insert(place.id.clone())),
                // Neither here nor there: it waits.
                Err(Error::Cell(_)) => {}
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

/// Asks for one place; it is there if its id comes back.
async fn ask_for<A: Allowance>(
    crawl: &Crawl<'_, A>,
    place: &Leaving,
    stop: &CancellationToken,
) -> (Traffic, Result<Option<Place>, Error>) {
    let mut traffic = Traffic::default();
    // A place without a name cannot be asked for, and was missed often enough.
    let Ok(name) = Keyword::new(&place.name, None) else { return (traffic, Ok(None)) };
    let circle = Circle { center: place.position, radius_m: crawl.ground.map.radius_m() };
    let search = Search::new(&name, Area::Circle(circle));
    let page = crawl.client.page(&search, crawl.allowance, stop, &mut traffic).await;
    (traffic, page.map(|page| page.places.into_iter().find(|found| found.id == place.id)))
}
