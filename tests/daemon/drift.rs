//! The API changes without an error: a run notices it before its first cell.

use sanggwond::standin::{Drift, StandinPlace, Switches, World};

use crate::support::program::Finished;
use crate::support::town::{self, place};
use crate::support::Stage;

/// Every drift, with the status of a run in rectangles, and how its reason or its warning begins.
const DRIFTS: [(Drift, &str, &str); 12] = [
    (Drift::RectIgnored, "partial", "a search by rectangle returned "),
    (Drift::RectSwapped, "partial", "a search by rectangle returned 0 places where "),
    (Drift::LowLimit, "succeeded", "the API shows at most 30 results of a search, not 45"),
    (Drift::PagesRepeat, "partial", "page 2 of a search only repeats earlier pages"),
    (Drift::FieldRenamed, "failed", "the API no longer returns place_name"),
    (Drift::DistanceMissing, "succeeded", "the API no longer returns distance"),
    (Drift::IdsRenumbered, "failed", "known places have other ids: 1 is now 91, "),
    (Drift::Fuzzy, "partial", "the API counts "),
    (Drift::CountsWobble, "partial", "the same search counted "),
    (Drift::RadiusIgnored, "partial", "a search by circle returned "),
    (Drift::SortIgnored, "partial", "the API ignores sort=distance"),
    (Drift::HalfMissing, "partial", "only "),
];
