//! Canaries: the first requests of a full run. They show whether the API still does what the run relies on.
//!
//! An API can change without an error: it may ignore a parameter that it used to obey. A run that does not notice would close
//! places that exist, or invent some. So at most [`MOST_REQUESTS`] requests precede the first cell. They ask for places that
//! are known to be there; where nothing is known, as in the first run, the answers can only be compared with each other.
//! `judge` decides what an answer shows, and [`crate::domain::drift`] what follows from it.

mod judge;

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::api::Api;
use crate::domain::cell::{PAGE_SIZE, Sort, Traffic};
use crate::domain::drift::{Canaries, Check, Consequence, Finding};
use crate::domain::geo::{Area, Circle, LatLng};
use crate::domain::keyword::Keyword;
use crate::domain::place::{Place, PlaceId};
use crate::domain::run::Coverage;
use crate::kakao::{Error, Page, Search, View};
use crate::store::{NamedPlace, PlannedCell};

/// Maximum number of canaries: three pages of a search, four variations of it, two pages of a larger one, three names.
pub const MOST_REQUESTS: usize = 3 + 4 + 2 + MOST_NAMES;

/// Maximum number of places that are searched for by name.
pub const MOST_NAMES: usize = 3;

/// Number of known places for which a circle is chosen: more than one page, and fewer than the API's limit.
pub const KNOWN_PLACES: usize = 28;

/// The radius of the larger search: the largest that the API accepts.
const LARGE_RADIUS_M: u32 = 20_000;

/// Whether the findings have consequences for a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Heed {
    /// Each has its consequence.
    #[default]
    Obeyed,
    /// They are only recorded, because a user has accepted them (`--accept-drift`).
    Recorded,
    /// No canary is sent.
    Off,
}

/// What the canaries ask for.
#[derive(Clone, Debug)]
pub struct Subject {
    /// A keyword.
    pub keyword: Keyword,
    /// The name of the station around which it is searched for.
    pub near: String,
    /// Where it is searched for.
    pub circle: Circle,
    /// All places that it finds there, as far as is known. Empty: it is not known whether these are all.
    pub known: BTreeSet<PlaceId>,
    /// Places that have been known for long.
    pub named: Vec<NamedPlace>,
    /// The radius of a search by name, in metres.
    pub radius_m: u32,
    /// How the run searches.
    pub coverage: Coverage,
    /// The pause between two pages of a search.
    pub page_delay: Duration,
}

/// The canaries of a run that has not begun.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What they ask for.
    pub subject: Subject,
    /// The cells of the run if rectangles are of no use.
    pub around_stations: Vec<PlannedCell>,
    /// Whether the findings have consequences.
    pub heed: Heed,
    /// Number of requests of earlier attempts, which were interrupted.
    pub earlier_requests: u32,
    /// Whether a user has accepted that many places are missing (`--accept-closings`).
    pub are_closings_accepted: bool,
}

impl Plan {
    /// The findings, each with the consequence that it has for this run.
    fn heeded(&self, canaries: Canaries) -> Canaries {
        canaries.accepting(|finding| match self.heed {
            Heed::Obeyed => self.are_closings_accepted && finding.is_about_missing_places(),
            Heed::Recorded | Heed::Off => true,
        })
    }

    /// Sends the canaries. Returns the findings, each with the consequence that it has for this run, and the error if one came
    /// before all of them were sent.
    pub(super) async fn ask(
        &self,
        api: &Api,
        stop: &CancellationToken,
        traffic: &mut Traffic,
    ) -> (Canaries, Option<Error>) {
        let (canaries, error) = match ask(api, &self.subject, stop, traffic).await {
            Ok(canaries) => (self.heeded(canaries), None),
            Err(error) => (Canaries::default(), Some(error)),
        };
        (Canaries { requests: self.earlier_requests + traffic.requests, ..canaries }, error)
    }
}

/// Sends the canaries.
///
/// # Errors
/// For a reason that ends a run. `traffic` contains the requests that were sent.
pub async fn ask(
    api: &Api,
    subject: &Subject,
    stop: &CancellationToken,
    traffic: &mut Traffic,
) -> Result<Canaries, Error> {
    let mut asking = Asking { api, subject, stop, traffic, findings: Vec::new() };
    asking.all().await?;
    let Asking { findings, .. } = asking;
    Ok(Canaries { requests: traffic.requests, findings, is_finished: true })
}

/// An answer, or why the API rejected the search as invalid.
type Answer = Result<Page, String>;

struct Asking<'a> {
    api: &'a Api,
    subject: &'a Subject,
    stop: &'a CancellationToken,
    traffic: &'a mut Traffic,
    findings: Vec<Finding>,
}

impl<'a> Asking<'a> {
    async fn all(&mut self) -> Result<(), Error> {
        let subject = self.subject;
        let search = Search { view: View::AsItCame, ..Search::new(&subject.keyword, Area::Circle(subject.circle)) };
        let first = match self.get(search).await? {
            Some(Ok(page)) => page,
            Some(Err(why)) => {
                self.found(Some(judge::unanswered(&why)));
                return Ok(());
            }
            None => return Ok(()),
        };
        self.findings.extend(judge::fields(&first));
        if self.findings.iter().any(|finding| finding.consequence == Consequence::NoRun) {
            return Ok(());
        }
        let (shown, counts) = self.circle(search, &first).await?;
        self.variations(search, counts).await?;
        self.rectangle(search, &shown).await?;
        self.large(search, judge::is_poor(&first)).await?;
        self.names().await
    }

    /// The other pages of the circle. Returns the places in it, and the count of each page.
    async fn circle(&mut self, search: Search<'a>, first: &Page) -> Result<(Vec<Place>, Vec<u32>), Error> {
        let Subject { circle, coverage, .. } = *self.subject;
        let outside = judge::radius(first, circle, coverage);
        let is_bounded = outside.is_none();
        if is_bounded && first.documents > 0 {
            // If a later canary has no usable answer, this search shows whether the API works.
            self.api.client.trust(&Search { view: View::Places, ..search });
        }
        self.found(outside);
        self.found(judge::distances(first, circle.center));
        let mut shown = first.places.clone();
        let mut counts = vec![first.meta.total_count];
        let reachable = first.meta.total_count.min(first.meta.pageable_count);
        let last = if first.meta.is_end { 1 } else { reachable.div_ceil(PAGE_SIZE).min(3) };
        for number in 2..=last {
            let Some(page) = self.next_page(search, number, &shown).await? else { break };
            shown.extend(page.places);
            counts.push(page.meta.total_count);
        }
        if is_bounded {
            self.found(judge::known(self.subject, first.meta.total_count, &shown));
        }
        shown.retain(|place| circle.contains(place.position));
        Ok((shown, counts))
    }

    /// Gets a later page, unless it shows nothing new.
    async fn next_page(&mut self, search: Search<'a>, number: u32, shown: &[Place]) -> Result<Option<Page>, Error> {
        tokio::select! {
            () = self.stop.cancelled() => return Err(Error::Stopped),
            () = tokio::time::sleep(self.subject.page_delay) => {}
        }
        let page = NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let Some(Ok(page)) = self.get(Search { page, ..search }).await? else { return Ok(None) };
        let repeated = judge::repeats(number, shown, &page);
        let is_new = repeated.is_none();
        self.found(repeated);
        Ok(is_new.then_some(page))
    }

    /// The same search once more, with a parameter that the API does not know, and by distance.
    async fn variations(&mut self, search: Search<'a>, mut counts: Vec<u32>) -> Result<(), Error> {
        if let Some(Ok(again)) = self.get(search).await? {
            counts.push(again.meta.total_count);
        }
        self.found(judge::count(&counts));
        // Only once: a gateway may answer anything to it, and that is no reason to wait.
        let unknown = Search { view: View::WithUnknownParameter, ..search };
        let unknown = self.api.once(&unknown, self.stop, self.traffic).await;
        if let Some(answer) = self.answer(unknown)? {
            self.found(judge::parameter(&counts, &answer));
        }
        if let Some(sorted) = self.get(Search { sort: Sort::Distance, ..search }).await? {
            self.found(judge::sorted(self.subject.circle.center, &sorted));
        }
        Ok(())
    }

    /// A rectangle in which one half of the places lies.
    async fn rectangle(&mut self, search: Search<'a>, shown: &[Place]) -> Result<(), Error> {
        let positions: Vec<LatLng> = shown.iter().map(|place| place.position).collect();
        let rect = judge::half(self.subject.circle, &positions);
        let inside = positions.iter().filter(|position| rect.contains(**position)).count();
        if let Some(answer) = self.get(Search { area: Area::Rect(rect.grown()), ..search }).await? {
            let mut found = judge::rect(rect.grown(), inside, &answer, self.subject.coverage);
            // Without circles, there is nothing to fall back to.
            if self.findings.iter().any(|other| other.check == Check::Radius)
                && let Some(finding) = &mut found
            {
                finding.consequence = Consequence::NoRun;
            }
            self.found(found);
        }
        Ok(())
    }

    /// The largest circle, whose places are more than the API shows. If the other one has too few, it is judged as well.
    async fn large(&mut self, search: Search<'a>, is_other_poor: bool) -> Result<(), Error> {
        let circle = Circle { radius_m: LARGE_RADIUS_M, ..self.subject.circle };
        let search = Search { area: Area::Circle(circle), ..search };
        let Some(Ok(first)) = self.get(search).await? else { return Ok(()) };
        self.found(judge::limit(first.meta));
        if is_other_poor {
            self.findings.extend(judge::fields(&first));
            self.found(judge::radius(&first, circle, self.subject.coverage));
            self.found(judge::distances(&first, circle.center));
        }
        if first.meta.total_count.min(first.meta.pageable_count) > 2 * PAGE_SIZE {
            self.next_page(search, 3, &first.places).await?;
        }
        Ok(())
    }

    /// Places that have been known for long, by name.
    async fn names(&mut self) -> Result<(), Error> {
        let subject = self.subject;
        let mut answers = Vec::new();
        for place in subject.named.iter().take(MOST_NAMES) {
            let Ok(name) = Keyword::new(&place.name, None) else { continue };
            let area = Area::Circle(Circle { center: place.position, radius_m: subject.radius_m });
            let search = Search { sort: Sort::Distance, view: View::AsItCame, ..Search::new(&name, area) };
            if let Some(Ok(page)) = self.get(search).await? {
                answers.push((place, page.places));
            }
        }
        self.found(judge::names(&answers));
        Ok(())
    }

    /// Takes a finding, unless the same check has found something before.
    fn found(&mut self, finding: Option<Finding>) {
        let is_new = |finding: &Finding| self.findings.iter().all(|other| other.check != finding.check);
        let finding = finding.filter(is_new);
        self.findings.extend(finding);
    }

    /// Gets an answer. `None` if the API gave none that can be used: then nothing is known, and the cells of the run will
    /// show whether that is so with every search.
    async fn get(&mut self, search: Search<'_>) -> Result<Option<Answer>, Error> {
        let answer = self.api.page(&search, self.stop, self.traffic).await;
        self.answer(answer)
    }

    fn answer(&mut self, answer: Result<Page, Error>) -> Result<Option<Answer>, Error> {
        match answer {
            Ok(page) => Ok(Some(Ok(page))),
            Err(Error::Invalid(why)) => Ok(Some(Err(why))),
            Err(Error::Cell(why)) => {
                self.found(Some(judge::unanswered(&why)));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
