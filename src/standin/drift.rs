//! Drifts: the ways in which the API may change without an error.

use clap::ValueEnum;

use super::request::Wanted;
use crate::domain::cell::Sort;
use crate::domain::geo::{Area, Rect};

/// One way in which the answers differ from those of the API as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Drift {
    /// `rect` is ignored.
    RectIgnored,
    /// `rect` is read as south, west, north, east.
    RectSwapped,
    /// At most 30 results of a search are shown.
    LowLimit,
    /// Every page is the first one.
    PagesRepeat,
    /// `place_name` is called `name`.
    FieldRenamed,
    /// There is no `distance`.
    DistanceMissing,
    /// Places have other ids.
    IdsRenumbered,
    /// A keyword finds every place.
    Fuzzy,
    /// The same search counts more places every other time.
    CountsWobble,
    /// `radius` is ignored.
    RadiusIgnored,
    /// `radius` and `rect` are ignored.
    AreaIgnored,
    /// `sort` is ignored.
    SortIgnored,
    /// Every other place is missing.
    HalfMissing,
}

impl Drift {
    /// Number of results that are shown with [`Drift::LowLimit`].
    pub(super) const LOW_LIMIT: u32 = 30;

    /// The search that is carried out instead of the one that was asked for.
    pub(super) fn read(self, wanted: &mut Wanted) {
        let search = &mut wanted.search;
        match (self, search.area) {
            (Self::RectIgnored, Some(Area::Rect(_)))
            | (Self::RadiusIgnored, Some(Area::Circle(_)))
            | (Self::AreaIgnored, Some(_)) => {
                search.area = None;
            }
            (Self::RectSwapped, Some(Area::Rect(Rect { west, south, east, north }))) => {
                search.area = Some(Area::Rect(Rect { west: south, south: west, east: north, north: east }));
            }
            (Self::PagesRepeat, _) => wanted.page = 1,
            (Self::SortIgnored, _) => search.sort = Sort::Accuracy,
            (Self::Fuzzy, _) => search.query = None,
            _ => {}
        }
    }
}
