//! Turns cells and stored places into searches.

use std::collections::BTreeMap;

use crate::domain::cell::{Cell, CellArea, Sort};
use crate::domain::geo::{Area, Circle, LatLng};
use crate::domain::keyword::{Keyword, KeywordId};
use crate::domain::station::StationId;
use crate::kakao::Search;

/// All stored stations and keywords, including retired ones, and the radius of the run.
#[derive(Debug)]
pub struct Searches {
    /// The positions of the stations.
    pub stations: BTreeMap<StationId, LatLng>,
    /// The keywords.
    pub keywords: BTreeMap<KeywordId, Keyword>,
    /// The radius around a station, in metres.
    pub radius_m: u32,
}

impl Searches {
    /// The first search of a cell; `None` if its station or keyword is no longer stored.
    pub(super) fn of(&self, cell: Cell) -> Option<Search<'_>> {
        let area = match cell.area {
            CellArea::Around(station) => Area::Circle(self.circle(station)?),
            CellArea::Within(rect) => Area::Rect(rect.grown()),
        };
        Some(Search::new(self.keywords.get(&cell.keyword)?, area))
    }

    /// The circle around a station; `None` if it is no longer stored.
    pub(super) fn circle(&self, station: StationId) -> Option<Circle> {
        Some(Circle { center: *self.stations.get(&station)?, radius_m: self.radius_m })
    }

    /// The search for a name around a position, by distance: in the order of relevance other shops of the same chain may
    /// fill the page.
    pub(super) fn by_name<'a>(&self, name: &'a Keyword, center: LatLng) -> Search<'a> {
        let circle = Circle { center, radius_m: self.radius_m };
        Search { sort: Sort::Distance, ..Search::new(name, Area::Circle(circle)) }
    }

    /// A keyword for a message.
    pub(super) fn keyword_name(&self, keyword: KeywordId) -> String {
        self.keywords.get(&keyword).map(ToString::to_string).unwrap_or_default()
    }
}
