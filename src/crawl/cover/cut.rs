//! Chooses where to cut a rectangle in two.
//!
//! A rectangle longer than the API allows is cut for that reason first, whatever it contains. Otherwise the best cut is the one
//! whose parts are expected to need the fewest requests ([`Requests`]). For example, 60 places that do not change need four
//! pages if the cut leaves 15, 30 or 45 of them on one side (45 + 15 = 3 + 1 pages), and five for any other cut (40 + 20 =
//! 3 + 2 pages). Of cuts that cost the same, the better shape is chosen ([`SHAPE`]).
//!
//! The longer side is cut. The other side is tried only where that may save requests ([`GOOD`]), and the rectangle stays whole
//! if no cut saves any.
//!
//! Rectangles grow before they are searched, so a place close to a cut is found on both sides, and counts twice:
//!
//! ```text
//!             cut
//!         :    |    :
//!    A    :  B |    :        C        A and C are found on one side, B on both
//!    o    :  o |    :        o
//!         :    |    :
//!         |<-->|<-->|
//!          GROWTH, about 1 m
//! ```
//!
//! Therefore cuts go through the middle of gaps. In a gap too narrow for that, cuts [`ROOM`] (slightly more than `GROWTH`)
//! beside either end are tried, too. Positions in a square with sides of twice the growth ([`HEAP`]) are on both sides of
//! every cut between them. They can only be separated from the others, by a cut beside them.

use std::cmp::Ordering;

use super::requests::Requests;
use crate::domain::geo::{GROWTH, LatLng, Rect};

/// Maximum length of a side, in metres. With its growth a side stays below 20 km.
const MAX_SIDE_M: f64 = 19_900.0;

/// Sides of at most this length, in metres, are not divided: the growth (about 1 m on each side) is nearly as large.
const MIN_SIDE_M: f64 = 2.6;

/// The distance from a cut, in degrees, at which a position is found on one side only: slightly more than the growth.
pub(super) const ROOM: f64 = GROWTH * 1.05;

/// Positions within a square of this side, in degrees, are a heap, which no cut can divide: both parts would grow over it.
const HEAP: f64 = 2.0 * GROWTH;

/// If at least this many positions are known and all lie in one heap, all other places are assumed to lie there, too.
const SAMPLE: usize = 10;

/// Number of positions on each side of the median whose gaps are compared.
const REACH: usize = 50;

/// The shorter side is tried, too, if the best cut of the longer side costs more than the lower bound `Requests::least` by more
/// than this many requests.
const GOOD: f64 = 0.05;

/// The weight of the shape of a cut, in requests. Near the middle of the rectangle, through a wide gap, and across the longer
/// side is better. The shape costs at most 0.05 requests, so it only decides between cuts with about the same number.
const SHAPE: f64 = 0.01;

/// Maximum weight of cutting the shorter side, as a multiple of [`SHAPE`].
const MAX_SLIM: f64 = 4.0;

/// The coordinate at which a cut is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    Latitude,
    Longitude,
}

impl Axis {
    fn of(self, position: LatLng) -> f64 {
        match self {
            Self::Latitude => position.latitude(),
            Self::Longitude => position.longitude(),
        }
    }

    fn ends(self, rect: Rect) -> (f64, f64) {
        match self {
            Self::Latitude => (rect.south, rect.north),
            Self::Longitude => (rect.west, rect.east),
        }
    }

    /// The middle of a rectangle.
    pub(super) fn middle(self, rect: Rect) -> f64 {
        let (low, high) = self.ends(rect);
        f64::midpoint(low, high)
    }

    fn other(self) -> Self {
        match self {
            Self::Latitude => Self::Longitude,
            Self::Longitude => Self::Latitude,
        }
    }
}

/// What the positions in a rectangle stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand<'a> {
    /// The expected requests for places.
    pub(super) requests: &'a Requests,
    /// The number of places that each position stands for.
    pub(super) places_per_position: f64,
}

#[expect(clippy::cast_precision_loss, reason = "positions are fewer than a float can count")]
impl Demand<'_> {
    /// The expected requests for one rectangle with this number of positions.
    fn one(self, positions: usize) -> f64 {
        self.requests.one(positions as f64 * self.places_per_position)
    }

    /// The expected requests for the best rectangles with this number of positions in total.
    fn least(self, positions: usize) -> f64 {
        self.requests.least(positions as f64 * self.places_per_position)
    }
}

/// A cut, with its cost: the expected requests, and the weight of its shape.
#[derive(Clone, Copy, Debug)]
struct Cut {
    cost: f64,
    axis: Axis,
    at: f64,
}

impl Cut {
    fn by_cost(&self, other: &Self) -> Ordering {
        self.cost.total_cmp(&other.cost)
    }
}

/// Where to cut a rectangle; `None` if it need not or cannot be divided.
pub(super) fn cut(rect: Rect, positions: &mut [LatLng], demand: Demand<'_>) -> Option<(Axis, f64)> {
    let (axis, side_m) = longer(rect);
    if side_m > MAX_SIDE_M {
        return Some((axis, shorten(rect, axis, positions, demand)));
    }
    let uncut = demand.one(positions.len());
    let least = demand.least(positions.len());
    if side_m <= MIN_SIDE_M || uncut <= least {
        return None;
    }
    if uncut.is_infinite()
        && let Some(heap) = heap(positions)
    {
        return beside(rect, heap);
    }
    let mut best_within = |reach: usize| {
        let mut best = between(rect, axis, positions, (demand, reach));
        if best.is_none_or(|best| best.cost > least + GOOD) {
            let other = between(rect, axis.other(), positions, (demand, reach));
            best = best.into_iter().chain(other).min_by(Cut::by_cost);
        }
        best.filter(|best| best.cost < uncut)
    };
    // The gaps near the median may save nothing, for example because a heap lies there.
    let best = best_within(REACH).or_else(|| best_within(usize::MAX))?;
    Some((best.axis, best.at))
}

/// Where to cut a rectangle that is too long: the first part is as long as allowed. If that part is not cut for its other side
/// again, it is shortened where this saves requests, as far as the number of parts stays the same.
fn shorten(rect: Rect, axis: Axis, positions: &mut [LatLng], demand: Demand<'_>) -> f64 {
    let ((low, high), most) = (axis.ends(rect), 0.999 * MAX_SIDE_M / side_m(rect, axis));
    let longest = low + (high - low) * most;
    if side_m(rect, axis.other()) > MAX_SIDE_M {
        return longest;
    }
    let shortest = high - (high - low) * most * ((1.0 / most).ceil() - 1.0);
    let degrees = sorted(axis, positions);
    let cost = |at: f64| {
        let (below, above) = parts(&degrees, at);
        demand.least(below) + demand.least(above)
    };
    let gaps = degrees.windows(2).map(|pair| f64::midpoint(pair[0], pair[1]));
    let cuts = gaps.filter(|at| shortest < *at && *at < longest && low < *at).chain([longest]);
    // Of equal cuts, the first part of the last one is the longest.
    cuts.rev().map(|at| (cost(at), at)).min_by(|a, b| a.0.total_cmp(&b.0)).map_or(longest, |(_, at)| at)
}

/// The best cut through a gap between positions along an axis, with at most `reach` positions between it and the median.
fn between(rect: Rect, axis: Axis, positions: &mut [LatLng], (demand, reach): (Demand<'_>, usize)) -> Option<Cut> {
    let ((low, high), count) = (axis.ends(rect), positions.len());
    if side_m(rect, axis) <= MIN_SIDE_M {
        return None;
    }
    let (first, last) = ((count / 2).saturating_sub(reach), (count / 2).saturating_add(reach).min(count));
    let by_axis = |a: &LatLng, b: &LatLng| axis.of(*a).total_cmp(&axis.of(*b));
    // Only the positions that are compared must be sorted.
    if last < count {
        positions.select_nth_unstable_by(last, by_axis);
    }
    if first > 0 {
        positions[..last].select_nth_unstable_by(first, by_axis);
    }
    let degrees = sorted(axis, &positions[first..last]);
    let slim = (longer(rect).1 / side_m(rect, axis) - 1.0).min(MAX_SLIM);
    let cut_through = |Gap { below, from, to }: Gap| {
        let cut_at = |(at, below, above): (f64, usize, usize)| {
            let off_middle = 2.0 * (at - low) / (high - low) - 1.0;
            let shape = slim + off_middle * off_middle - (to - from) / (high - low);
            Cut { cost: demand.least(first + below) + demand.least(count - last + above) + SHAPE * shape, axis, at }
        };
        let middle = f64::midpoint(from, to);
        if to - from > 2.0 * ROOM {
            return is_inside(rect, axis, middle).then(|| cut_at((middle, below, degrees.len() - below)));
        }
        let ats = [middle, from + ROOM, to - ROOM].into_iter().filter(|at| from < *at && *at < to);
        let ats = ats.filter(|at| is_inside(rect, axis, *at));
        ats.map(|at| {
            let (below, above) = parts(&degrees, at);
            cut_at((at, below, above))
        })
        .min_by(Cut::by_cost)
    };
    let gaps = degrees.windows(2).zip(1..).filter(|(pair, _)| pair[0] < pair[1]);
    gaps.filter_map(|(pair, below)| cut_through(Gap { below, from: pair[0], to: pair[1] })).min_by(Cut::by_cost)
}

/// A gap between two positions along an axis.
struct Gap {
    /// Number of compared positions below it.
    below: usize,
    from: f64,
    to: f64,
}

/// The coordinates of positions, in ascending order.
fn sorted(axis: Axis, positions: &[LatLng]) -> Vec<f64> {
    let mut degrees: Vec<f64> = positions.iter().map(|position| axis.of(*position)).collect();
    degrees.sort_unstable_by(f64::total_cmp);
    degrees
}

/// The numbers of positions that are found in the two parts of a cut. Those close to the cut are in both.
fn parts(degrees: &[f64], at: f64) -> (usize, usize) {
    let below = degrees.partition_point(|on| *on <= at + GROWTH);
    let near = degrees[..below].iter().rev().take_while(|on| **on >= at - GROWTH).count();
    (below, degrees.len() - below + near)
}

/// Whether both parts of a cut are wide enough.
fn is_inside(rect: Rect, axis: Axis, at: f64) -> bool {
    let (low, high) = axis.ends(rect);
    at - low > GROWTH / 4.0 && high - at > GROWTH / 4.0
}

/// The bounding box of positions that form one heap; `None` if they do not.
fn heap(positions: &[LatLng]) -> Option<Rect> {
    let hull = Rect::around(positions.iter().copied())?;
    (hull.north - hull.south <= HEAP && hull.east - hull.west <= HEAP).then_some(hull)
}

/// Whether the known positions form a heap and the rectangle has no room for a cut beside it.
pub(super) fn is_heap(rect: Rect, known: &[LatLng]) -> bool {
    known.len() >= SAMPLE && heap(known).is_some_and(|heap| beside(rect, heap).is_none())
}

/// A cut beside a heap, on its widest free side; `None` if no side has room.
fn beside(rect: Rect, heap: Rect) -> Option<(Axis, f64)> {
    let sides = [Axis::Latitude, Axis::Longitude].into_iter().flat_map(|axis| {
        let ((low, high), (least, most)) = (axis.ends(rect), axis.ends(heap));
        [(axis, least - ROOM - low, least - ROOM), (axis, high - most - ROOM, most + ROOM)]
    });
    let (axis, _, at) = sides.max_by(|a, b| a.1.total_cmp(&b.1))?;
    is_inside(rect, axis, at).then_some((axis, at))
}

/// The two parts of a rectangle.
pub(super) fn halves(rect: Rect, axis: Axis, at: f64) -> [Rect; 2] {
    match axis {
        Axis::Latitude => [Rect { north: at, ..rect }, Rect { south: at, ..rect }],
        Axis::Longitude => [Rect { east: at, ..rect }, Rect { west: at, ..rect }],
    }
}

/// The axis of the longer side of a rectangle, and its length in metres. In the box around one circle the two sides differ by
/// less than 1 %; there it is the height, whose length in metres is rounded up by more.
pub(super) fn longer(rect: Rect) -> (Axis, f64) {
    let (height_m, width_m) = (side_m(rect, Axis::Latitude), side_m(rect, Axis::Longitude));
    if height_m > width_m { (Axis::Latitude, height_m) } else { (Axis::Longitude, width_m) }
}

/// The length of a side in metres, never underestimated.
fn side_m(rect: Rect, axis: Axis) -> f64 {
    match axis {
        Axis::Latitude => rect.height_m(),
        Axis::Longitude => rect.width_m(),
    }
}

/// Whether a rectangle is too small to be divided.
pub(in crate::crawl) fn is_tiny(rect: Rect) -> bool {
    longer(rect).1 <= MIN_SIDE_M
}
