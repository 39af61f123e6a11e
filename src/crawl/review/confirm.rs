//! Searches for a place by its name before it is closed.
//!
//! A keyword search ranks by relevance, so a place can drop out of the results although it still exists. One request
//! searches for the name around the position of the place. If the same id is found, the place stays open with its new
//! content.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::crawl::api::Api;
use crate::crawl::searches::Searches;
use crate::crawl::writer::Writer;
use crate::domain::cell::Traffic;
use crate::domain::keyword::Keyword;
use crate::domain::place::{Place, PlaceId};
use crate::kakao::{Error, Page};
use crate::store::{self, Confirmed, NamedPlace};

/// Number of places that are searched for before the results are stored.
const CHUNK: usize = 50;

/// If all results within this radius around a place, in metres, were shown without it, it counts as absent.
const NEAR_M: f64 = 100.0;

/// The results of the searches by name.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Places that were not found.
    pub(super) absent: BTreeSet<PlaceId>,
    /// Places that were found.
    pub(super) present: BTreeSet<PlaceId>,
    /// Places for which the search failed or was rejected as invalid.
    pub(super) unasked: BTreeSet<PlaceId>,
}

/// Searches for places by their names.
#[derive(Clone, Copy, Debug)]
pub(super) struct ByName<'a> {
    pub(super) api: &'a Api,
    pub(super) searches: &'a Searches,
}

/// Searches by name for at most `most` places; `None` if the stop token is cancelled.
///
/// After any other error that ends the run, the remaining places wait for the next run. That loses nothing: no cell is
/// pending any more.
pub(super) async fn ask(
    by_name: ByName<'_>,
    writer: &Writer,
    places: &[NamedPlace],
    most: u32,
    stop: &CancellationToken,
) -> Result<Option<Answers>, store::Error> {
    let mut answers = Answers::default();
    let asked = &places[..places.len().min(most as usize)];
    if !asked.is_empty() {
        let (count, waiting) = (asked.len(), places.len() - asked.len());
        info!("asking by name before places are closed: for {count}, while {waiting} wait for the next run");
    }
    for chunk in asked.chunks(CHUNK) {
        let replies = join_all(chunk.iter().map(|place| by_name.ask(place, stop))).await;
        let mut traffic = Traffic::default();
        let mut there = Vec::new();
        let mut end = None;
        for (place, (cost, reply)) in chunk.iter().zip(replies) {
            traffic += cost;
            match reply {
                Ok(Reply::There(found)) => there.push(*found),
                Ok(Reply::Absent) => drop(answers.absent.insert(place.id.clone())),
                Ok(Reply::Unclear) => {}
                Err(Error::Cell(_) | Error::Invalid(_)) => drop(answers.unasked.insert(place.id.clone())),
                Err(error) => end = Some(error),
            }
        }
        writer.confirm(Confirmed { places: &there, traffic }).await?;
        answers.present.extend(there.into_iter().map(|place| place.id));
        match end {
            Some(Error::Stopped) => return Ok(None),
            Some(error) => {
                warn!("no more places are asked for: {error}");
                break;
            }
            None => {}
        }
    }
    Ok(Some(answers))
}

/// The result of a search by name.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reply {
    /// The place was found, with this content.
    There(Box<Place>),
    /// The place is not among the results, although all near its position were shown.
    Absent,
    /// The place may be among results that were not shown or were rejected.
    Unclear,
}

impl ByName<'_> {
    /// Searches for one place by its name around its position.
    pub(super) async fn ask(self, place: &NamedPlace, stop: &CancellationToken) -> (Traffic, Result<Reply, Error>) {
        let mut traffic = Traffic::default();
        // A place without a name cannot be searched for. It was missed often enough, so it counts as absent.
        let Ok(name) = Keyword::new(&place.name, None) else { return (traffic, Ok(Reply::Absent)) };
        let search = self.searches.by_name(&name, place.position);
        let page = self.api.page(&search, stop, &mut traffic).await;
        (traffic, page.map(|page| judge(place, page)))
    }
}

/// The place is present if its id was found, and absent if all results near it were shown without it. If a document was
/// rejected, that may be the place.
fn judge(place: &NamedPlace, page: Page) -> Reply {
    let Page { meta, places: found, rejected, .. } = page;
    let is_whole = found.len() >= meta.total_count as usize;
    let farthest_m = found.iter().map(|other| other.position.distance_m(place.position)).fold(0.0, f64::max);
    match found.into_iter().find(|other| other.id == place.id) {
        Some(found) => Reply::There(Box::new(found)),
        None if rejected.documents > 0 => Reply::Unclear,
        None if is_whole || farthest_m >= NEAR_M => Reply::Absent,
        None => Reply::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cell::{Meta, Rejected};
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

    fn page(places: Vec<Place>, total_count: u32) -> Page {
        let meta = Meta { total_count, pageable_count: total_count.min(45), is_end: true };
        Page { meta, documents: places.len(), places, rejected: Rejected::default(), form: None }
    }

    #[test]
    fn a_shop_of_a_chain_is_absent_only_where_all_that_is_near_was_shown() {
        let Place { id, name, position, .. } = shop(1, 0.0);
        let asked = NamedPlace { id, name, position };
        let others = |farthest_m: f64| (2..17).map(move |id| shop(id, farthest_m * f64::from(id - 1) / 15.0)).collect();

        assert_eq!(judge(&asked, page(others(50.0), 15)), Reply::Absent);
        assert_eq!(judge(&asked, page(others(50.0), 40)), Reply::Unclear);
        assert_eq!(judge(&asked, page(others(150.0), 40)), Reply::Absent);
        assert_eq!(judge(&asked, page(vec![shop(2, 10.0), shop(1, 5.0)], 40)), Reply::There(Box::new(shop(1, 5.0))));
        assert_eq!(judge(&asked, page(Vec::new(), 0)), Reply::Absent);
    }

    #[test]
    fn a_shop_that_may_be_a_rejected_document_is_not_taken_for_absent() {
        let Place { id, name, position, .. } = shop(1, 0.0);
        let rejected = Rejected::one("place \"편의점\": no id");

        let page = Page { documents: 2, rejected, ..page(vec![shop(2, 150.0)], 2) };

        assert_eq!(judge(&NamedPlace { id, name, position }, page), Reply::Unclear);
    }
}
