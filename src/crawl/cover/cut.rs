//! Where to cut a rectangle in two: through gaps, because a rectangle grows before it is searched and what lies on a cut is
//! found on both sides of it.

use crate::domain::geo::{GROWTH, LatLng, Rect};

/// Neither side of a rectangle is longer, its growth included.
const MAX_SIDE_M: f64 = 19_900.0;

/// A rectangle is not divided below this: its growth is nearly as large.
const MIN_SIDE_M: f64 = 2.6;

/// A cut that is so far from a position, in degrees, leaves it on one side: a little more than a piece grows.
pub(super) const ROOM: f64 = GROWTH * 1.05;

/// Positions that are no farther apart, in degrees, are a heap, which no cut can divide: pieces grow to both sides of it.
const HEAP: f64 = 2.0 * GROWTH;

/// So many places that a page shows, all in one heap, stand for all that were counted.
const SAMPLE: usize = 10;

/// Positions by which a cut may miss the even share, for a better gap.
const SLACK: usize = 4;

/// How much worse a position is that a cut leaves on both sides than one by which it misses the even share.
const SHARED_COST: usize = 2;

/// Among so many positions every cut is looked at.
const FEW: usize = 1000;

/// A direction of cutting.
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

/// Where to cut a rectangle, if it must be.
pub(super) fn cut(rect: Rect, positions: &mut [LatLng], capacity: usize) -> Option<(Axis, f64)> {
    let (axis, side_m) = longer(rect);
    let is_full = positions.len() > capacity && side_m > MIN_SIDE_M;
    if let Some(cut) = is_full.then(|| through(rect, axis, positions, capacity)).flatten() {
        return Some(cut);
    }
    // Too large for the API, but not too full: as much as may be, and then the rest.
    let (low, high) = axis.ends(rect);
    (side_m > MAX_SIDE_M).then(|| (axis, low + (high - low) * (0.999 * MAX_SIDE_M / side_m)))
}

/// A cut that divides what is too much, or goes beside a heap, which cannot be divided.
fn through(rect: Rect, axis: Axis, positions: &mut [LatLng], capacity: usize) -> Option<(Axis, f64)> {
    if let Some(heap) = heap(positions) {
        return beside(rect, heap);
    }
    let needed = needed(rect, positions.len(), capacity);
    let wanted = positions.len() * (needed / 2) / needed;
    between(rect, axis, positions, wanted).or_else(|| between(rect, axis.other(), positions, wanted))
}

/// How many pieces so many positions need, those counted twice that two pieces share because each grows.
#[expect(clippy::cast_precision_loss, reason = "positions are fewer than a float can count")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number that is not negative")]
fn needed(rect: Rect, positions: usize, capacity: usize) -> usize {
    let pieces = positions as f64 / capacity as f64;
    let growth_m = rect.height_m() * GROWTH / (rect.north - rect.south).max(GROWTH);
    let side_m = (rect.height_m() * rect.width_m() / pieces).sqrt().max(growth_m);
    (pieces * (1.0 + 4.0 * growth_m / side_m)).ceil().max(2.0) as usize
}

/// A cut between two positions, with about `wanted` of them below; `None` where they are all in one line.
fn between(rect: Rect, axis: Axis, positions: &mut [LatLng], wanted: usize) -> Option<(Axis, f64)> {
    if side_m(rect, axis) <= MIN_SIDE_M {
        return None;
    }
    let by_axis = |a: &LatLng, b: &LatLng| axis.of(*a).total_cmp(&axis.of(*b));
    let (least, most) = (wanted.saturating_sub(SLACK).max(1), (wanted + SLACK).min(positions.len() - 1));
    // Only the few positions around the cut need an order among themselves.
    positions.select_nth_unstable_by(most, by_axis);
    positions[..most].select_nth_unstable_by(least - 1, by_axis);
    positions[least - 1..=most].sort_unstable_by(by_axis);
    let degrees = |positions: &[LatLng]| positions.iter().map(|position| axis.of(*position)).collect::<Vec<f64>>();
    let near = cheapest(rect, axis, &degrees(&positions[least - 1..=most]), wanted + 1 - least);
    let may_look_around = positions.len() <= FEW || near.is_none();
    let best = match near {
        Some((cost, at)) if cost <= SLACK || !may_look_around => Some((cost, at)),
        near => {
            // A heap of places may be in the way, or many in one line: the cut goes beside them.
            positions.sort_unstable_by(by_axis);
            cheapest(rect, axis, &degrees(positions), wanted).or(near)
        }
    };
    best.map(|(_, at)| (axis, at))
}

/// The cheapest cut between neighbours of a sorted list, and its cost: `wanted` are to lie below, and none close to it.
fn cheapest(rect: Rect, axis: Axis, degrees: &[f64], wanted: usize) -> Option<(usize, f64)> {
    let cuts = degrees.windows(2).zip(1_usize..).flat_map(|(pair, count)| {
        // In the middle, or just far enough from one of them, which may be a heap.
        let ats = [f64::midpoint(pair[0], pair[1]), pair[0] + ROOM, pair[1] - ROOM];
        let ats = ats.into_iter().filter(|at| pair[0] < *at && *at < pair[1] && is_inside(rect, axis, *at));
        ats.map(move |at| {
            let first = degrees.partition_point(|on| *on < at - GROWTH);
            let shared = degrees[first..].iter().take_while(|on| **on <= at + GROWTH).count();
            (shared * SHARED_COST + count.abs_diff(wanted), at)
        })
    });
    cuts.min_by_key(|(cost, _)| *cost)
}

/// Whether a cut leaves something to both sides.
fn is_inside(rect: Rect, axis: Axis, at: f64) -> bool {
    let (low, high) = axis.ends(rect);
    at - low > GROWTH / 4.0 && high - at > GROWTH / 4.0
}

/// The rectangle around positions that are all in one heap.
fn heap(positions: &[LatLng]) -> Option<Rect> {
    let hull = positions.iter().map(|at| Rect::at(*at)).reduce(Rect::hull)?;
    (hull.north - hull.south <= HEAP && hull.east - hull.west <= HEAP).then_some(hull)
}

/// Whether there is room for nothing but a heap in a rectangle.
pub(super) fn is_heap(rect: Rect, known: &[LatLng]) -> bool {
    known.len() >= SAMPLE && heap(known).is_some_and(|heap| beside(rect, heap).is_none())
}

/// A cut beside a heap; `None` where nothing else is left around it.
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

/// The longer side of a rectangle, and its length in metres.
pub(super) fn longer(rect: Rect) -> (Axis, f64) {
    let (height_m, width_m) = (side_m(rect, Axis::Latitude), side_m(rect, Axis::Longitude));
    if height_m > width_m { (Axis::Latitude, height_m) } else { (Axis::Longitude, width_m) }
}

/// The length of a side in metres, never too little.
fn side_m(rect: Rect, axis: Axis) -> f64 {
    match axis {
        Axis::Latitude => rect.height_m(),
        Axis::Longitude => rect.width_m(),
    }
}

/// Whether a rectangle is too small to be divided.
pub(super) fn is_tiny(rect: Rect) -> bool {
    longer(rect).1 <= MIN_SIDE_M
}
