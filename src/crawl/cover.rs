//! Covering the ground with rectangles, each of which the API shows in full: one pure planner for a whole keyword and for
//! a rectangle that turned out to hold too much.
//!
//! The ground is all that lies within the radius of a station. The planner divides a frame again and again, cuts away what
//! touches no circle, and stops where a rectangle is expected to hold no more than the API shows. What it expects follows
//! from positions: those of known places, or an even grid where too few are known. Cuts go through gaps, because a
//! rectangle grows before it is searched and what lies on a cut is found on both sides of it.
//!
//! On unknown ground an even grid needs fewer requests than any guess from the handful of places that a first page shows
//! (measured on generated worlds): the guess is right where places crowd, but wastes requests wherever they do not.

use crate::domain::geo::{Circle, GROWTH, LatLng, Rect};

/// How many places a rectangle is expected to hold at most: one less than the API shows, for what opens in the meantime.
pub const CAPACITY: usize = 44;

/// Neither side of a rectangle is longer, its growth included.
const MAX_SIDE_M: f64 = 19_900.0;

/// A rectangle is not divided below this: its growth is nearly as large.
const MIN_SIDE_M: f64 = 2.6;

/// A cut that is so far from a position, in degrees, leaves it on one side: a little more than a piece grows.
const ROOM: f64 = GROWTH * 1.05;

/// Positions that are no farther apart, in degrees, are a heap, which no cut can divide: pieces grow to both sides of it.
const HEAP: f64 = 2.0 * GROWTH;

/// So many places that a page shows, all in one heap, stand for all that were counted.
const SAMPLE: usize = 10;

/// A count of more than this is not believed, so that one wild answer does not become thousands of cells.
const MAX_TOTAL: usize = 20_000;

/// Positions by which a cut may miss the even share, for a better gap.
const SLACK: usize = 4;

/// How much worse a position is that a cut leaves on both sides than one by which it misses the even share.
const SHARED_COST: usize = 2;

/// Among so many positions every cut is looked at.
const FEW: usize = 1000;

/// So many positions of a grid stand for the places of one rectangle.
const GRID_DENSITY: usize = 10;

/// The ground of a crawl: circles around stations.
#[derive(Clone, Debug, Default)]
pub struct Circles {
    disks: Vec<Disk>,
}

/// An ellipse in degrees that holds a circle.
#[derive(Clone, Copy, Debug)]
struct Disk {
    center: LatLng,
    /// Half its height and half its width, in degrees.
    rise: f64,
    run: f64,
}

/// A direction of cutting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Latitude,
    Longitude,
}

impl Circles {
    /// The ground within these circles.
    #[must_use]
    pub fn new(circles: impl IntoIterator<Item = Circle>) -> Self {
        Self { disks: circles.into_iter().map(Disk::around).collect() }
    }

    /// Rectangles that cover the ground, each expected to hold at most `capacity` places, by the positions of known ones.
    #[must_use]
    pub fn cover(&self, known: Vec<LatLng>, capacity: usize) -> Vec<Rect> {
        let mut rects = Vec::new();
        let disks = self.disks.iter().collect();
        divide(Rect::GLOBE, disks, known, capacity.max(1), &mut rects);
        rects
    }

    /// Divides a rectangle in which `total` places were counted, so that its pieces are expected to hold at most `capacity`.
    /// `known` are the positions of those that are known. Nothing comes back where it is too small to be divided.
    #[must_use]
    pub fn split(&self, rect: Rect, total: usize, known: Vec<LatLng>, capacity: usize) -> Vec<Rect> {
        if is_tiny(rect) || is_heap(rect, &known) {
            return Vec::new();
        }
        let total = total.min(MAX_TOTAL);
        let disks: Vec<&Disk> = self.disks.iter().filter(|disk| disk.within(rect).is_some()).collect();
        let mut positions = known;
        if positions.len() * 10 < total * 9 {
            let count = GRID_DENSITY * total.div_ceil(capacity.max(1));
            // Not where a place is: the two would have to be divided.
            let beside = |at: LatLng, near: &LatLng| {
                (at.latitude() - near.latitude()).abs().max((at.longitude() - near.longitude()).abs()) > 2.0 * ROOM
            };
            let is_free = |at: &LatLng| positions.iter().all(|near| beside(*at, near));
            let on_ground = |at: &LatLng| disks.iter().any(|disk| disk.contains(*at));
            let evenly: Vec<LatLng> = grid(rect, count).filter(on_ground).filter(is_free).collect();
            positions.extend(evenly);
        }
        // A position stands for more or less than one place.
        let share = (capacity * positions.len() / total.max(1)).max(1);
        let mut pieces = Vec::new();
        divide(rect, disks.clone(), positions, share, &mut pieces);
        if pieces.len() < 2 {
            pieces.clear();
            let (axis, _) = longer(rect);
            for half in halves(rect, axis, axis.middle(rect)) {
                divide(half, disks.clone(), Vec::new(), 1, &mut pieces);
            }
        }
        pieces
    }

    /// Whether a rectangle has a share in the ground.
    #[must_use]
    pub fn touches(&self, rect: Rect) -> bool {
        self.disks.iter().any(|disk| disk.within(rect).is_some())
    }
}

impl Disk {
    /// The ellipse is a little larger than the circle, so that rounding loses nothing.
    fn around(circle: Circle) -> Self {
        let radius_m = f64::from(circle.radius_m) * 1.0001 + 0.1;
        let (south_north, east_west) = circle.center.metres_per_degree(radius_m);
        Self { center: circle.center, rise: radius_m / south_north, run: radius_m / east_west }
    }

    fn contains(&self, position: LatLng) -> bool {
        let north = (position.latitude() - self.center.latitude()) / self.rise;
        let east = (position.longitude() - self.center.longitude()) / self.run;
        north * north + east * east <= 1.0
    }

    /// The least rectangle around what it shares with `rect`.
    fn within(&self, rect: Rect) -> Option<Rect> {
        let (latitude, longitude) = (self.center.latitude(), self.center.longitude());
        // How much of the half width is left at the row of `rect` that is nearest to the centre, and the other way round.
        let left = |from: f64, nearest: f64, half: f64| {
            let share = (nearest - from) / half;
            (1.0 - share * share).max(0.0).sqrt()
        };
        let run = self.run * left(latitude, latitude.clamp(rect.south, rect.north), self.rise);
        let rise = self.rise * left(longitude, longitude.clamp(rect.west, rect.east), self.run);
        let shared = Rect {
            west: rect.west.max(longitude - run),
            south: rect.south.max(latitude - rise),
            east: rect.east.min(longitude + run),
            north: rect.north.min(latitude + rise),
        };
        (run > 0.0 && rise > 0.0 && shared.west <= shared.east && shared.south <= shared.north).then_some(shared)
    }
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

    fn middle(self, rect: Rect) -> f64 {
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

/// Divides a frame until every piece is small enough and expected to hold at most `capacity` of the positions.
fn divide(frame: Rect, disks: Vec<&Disk>, mut positions: Vec<LatLng>, capacity: usize, pieces: &mut Vec<Rect>) {
    let shared: Vec<(&Disk, Rect)> = disks.into_iter().filter_map(|disk| Some((disk, disk.within(frame)?))).collect();
    let Some(rect) = shared.iter().map(|(_, shared)| *shared).reduce(Rect::hull) else { return };
    let searched = rect.grown();
    positions.retain(|position| searched.contains(*position));
    let Some((axis, at)) = cut(rect, &mut positions, capacity) else {
        pieces.push(rect);
        return;
    };
    let disks: Vec<&Disk> = shared.into_iter().map(|(disk, _)| disk).collect();
    for half in halves(rect, axis, at) {
        // What lies on the cut is found on both sides of it.
        let searched = half.grown();
        let inside = positions.iter().copied().filter(|position| searched.contains(*position)).collect();
        divide(half, disks.clone(), inside, capacity, pieces);
    }
}

/// Where to cut a rectangle, if it must be.
fn cut(rect: Rect, positions: &mut [LatLng], capacity: usize) -> Option<(Axis, f64)> {
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
fn is_heap(rect: Rect, known: &[LatLng]) -> bool {
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

fn halves(rect: Rect, axis: Axis, at: f64) -> [Rect; 2] {
    match axis {
        Axis::Latitude => [Rect { north: at, ..rect }, Rect { south: at, ..rect }],
        Axis::Longitude => [Rect { east: at, ..rect }, Rect { west: at, ..rect }],
    }
}

fn longer(rect: Rect) -> (Axis, f64) {
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

fn is_tiny(rect: Rect) -> bool {
    longer(rect).1 <= MIN_SIDE_M
}

/// At least so many positions, spread evenly over a rectangle.
fn grid(rect: Rect, count: usize) -> impl Iterator<Item = LatLng> {
    let side = u32::try_from(count.isqrt() + 1).unwrap_or(u32::MAX);
    let at = move |low: f64, high: f64, step: u32| low + (high - low) * (f64::from(step) + 0.5) / f64::from(side);
    (0..side).flat_map(move |row| {
        (0..side).filter_map(move |column| {
            LatLng::new(at(rect.south, rect.north, row), at(rect.west, rect.east, column)).ok()
        })
    })
}

#[cfg(test)]
mod tests;
