//! Plans rectangles that cover the area around the stations, so that the API shows all places of each rectangle.
//!
//! The area is everything within the radius of a station. The planner divides a rectangle recursively, and shrinks
//! each part to the bounding box of its overlap with the circles. It first cuts to the size that the API allows: sparse keywords need no more, so several circles share one
//! rectangle. Then it cuts where this is expected to save requests (`cut.rs`), until no cut does.
//!
//! The expectation comes from positions. In later runs these are the places that the last run found. The first rectangles of
//! a new keyword are as large as allowed. If one is truncated, the API has counted its places, but where they are must be
//! estimated: from the 15 on the first page, from the places of other keywords (where 식당 and 카페 crowd, 호프 does too), and
//! from a few points spread evenly. An estimate varies, so its rectangles are planned with fewer places than those of known
//! positions.

mod cut;
mod requests;

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::domain::geo::{Circle, LatLng, Rect};
use cut::{Demand, cut, halves, is_heap, longer};

pub(super) use cut::is_tiny;
pub use requests::Requests;

/// Higher counts of the API are reduced to this one, so that one wrong answer does not create thousands of cells.
const MAX_TOTAL: usize = 20_000;

/// Number of places for which an estimate has one evenly spread point.
const PLACES_PER_POINT: usize = 8;

/// Number of points in a rectangle that measure how much of it the circles cover.
const SAMPLE_POINTS: usize = 1024;

/// The expected requests where positions are estimated.
static ESTIMATED: LazyLock<Requests> = LazyLock::new(Requests::of_estimate);

/// What is known about the places in a truncated rectangle.
#[derive(Clone, Debug, Default)]
pub struct Crowd {
    /// The number that the API counted.
    pub total: usize,
    /// The known positions of the keyword.
    pub known: Vec<LatLng>,
    /// The known positions of other keywords.
    pub others: Vec<LatLng>,
}

/// The area of a run: circles around stations.
#[derive(Clone, Debug, Default)]
pub struct Circles {
    disks: Vec<Disk>,
}

/// An ellipse in degrees that contains a circle in metres.
#[derive(Clone, Copy, Debug)]
struct Disk {
    center: LatLng,
    /// Half the height (`rise`) and half the width (`run`), in degrees.
    rise: f64,
    run: f64,
}

impl Circles {
    /// The area within these circles.
    #[must_use]
    pub fn new(circles: impl IntoIterator<Item = Circle>) -> Self {
        Self { disks: circles.into_iter().map(Disk::around).collect() }
    }

    /// Number of circles.
    #[must_use]
    pub fn count(&self) -> usize {
        self.disks.len()
    }

    /// Rectangles that cover the area, with the fewest expected requests for the known positions of a keyword.
    #[must_use]
    pub fn cover(&self, known: Vec<LatLng>, requests: &Requests) -> Vec<Rect> {
        let mut rects = Vec::new();
        let disks = self.disks.iter().collect();
        divide(Rect::GLOBE, disks, known, Demand { requests, places_per_position: 1.0 }, &mut rects);
        rects
    }

    /// Divides a rectangle in which the API counted more places than it shows. Empty if the rectangle cannot be divided.
    #[must_use]
    pub fn split(&self, rect: Rect, crowd: Crowd, requests: &Requests) -> Vec<Rect> {
        if is_tiny(rect) || is_heap(rect, &crowd.known) {
            return Vec::new();
        }
        let total = crowd.total.min(MAX_TOTAL);
        let disks: Vec<&Disk> = self.disks.iter().filter(|disk| disk.within(rect).is_some()).collect();
        let mut positions = crowd.known;
        let mut requests = requests;
        if positions.len() * 10 < total * 9 {
            requests = &ESTIMATED;
            positions.extend(crowd.others);
            positions.extend(evenly(rect, &disks, total.div_ceil(PLACES_PER_POINT), &positions));
        }
        let demand = Demand { requests, places_per_position: ratio(total, positions.len()) };
        let mut pieces = Vec::new();
        divide(rect, disks.clone(), positions, demand, &mut pieces);
        if pieces.len() < 2 {
            pieces.clear();
            let (axis, _) = longer(rect);
            for half in halves(rect, axis, axis.middle(rect)) {
                divide(half, disks.clone(), Vec::new(), demand, &mut pieces);
            }
        }
        pieces
    }

    /// Whether a rectangle overlaps the area.
    #[must_use]
    pub fn touches(&self, rect: Rect) -> bool {
        self.disks.iter().any(|disk| disk.within(rect).is_some())
    }
}

impl Disk {
    /// The ellipse is slightly larger than the circle, so that rounding excludes no point of the circle.
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

    /// The bounding box of the overlap with `rect`; `None` if there is none.
    fn within(&self, rect: Rect) -> Option<Rect> {
        let (latitude, longitude) = (self.center.latitude(), self.center.longitude());
        // The ellipse is widest in `rect` at the latitude nearest to its centre. This is the half width there, as a share of
        // the full half width; the height is computed likewise.
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

/// Divides a rectangle until each part is small enough and no further cut saves requests.
fn divide(frame: Rect, disks: Vec<&Disk>, mut positions: Vec<LatLng>, demand: Demand<'_>, pieces: &mut Vec<Rect>) {
    let shared: Vec<(&Disk, Rect)> = disks.into_iter().filter_map(|disk| Some((disk, disk.within(frame)?))).collect();
    let Some(rect) = shared.iter().map(|(_, shared)| *shared).reduce(Rect::hull) else { return };
    let searched = rect.grown();
    positions.retain(|position| searched.contains(*position));
    let Some((axis, at)) = cut(rect, &mut positions, demand) else {
        pieces.push(rect);
        return;
    };
    let disks: Vec<&Disk> = shared.into_iter().map(|(disk, _)| disk).collect();
    let parts = halves(rect, axis, at).map(|half| {
        // Rectangles grow before they are searched, so a position near the cut counts on both sides.
        let searched = half.grown();
        let inside: Vec<LatLng> = positions.iter().copied().filter(|position| searched.contains(*position)).collect();
        (half, inside)
    });
    // Otherwise every level of the recursion would hold its positions: a strip of 20 km may be cut from a long rectangle.
    drop(positions);
    for (half, inside) in parts {
        divide(half, disks.clone(), inside, demand, pieces);
    }
}

/// The grid square of a position. All positions that no cut can separate from it lie in this square or its eight neighbours.
#[expect(clippy::cast_possible_truncation, reason = "degrees are few")]
fn square(at: LatLng) -> (i64, i64) {
    let number = |degrees: f64| (degrees / (2.0 * cut::ROOM)).floor() as i64;
    (number(at.latitude()), number(at.longitude()))
}

/// Number of grid squares in a rectangle. Cuts could not separate more positions than that.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "no rectangle has more than a number can hold"
)]
fn squares(rect: Rect) -> usize {
    let number = |degrees: f64| (degrees / (2.0 * cut::ROOM)).ceil().max(1.0) as usize;
    number(rect.north - rect.south).saturating_mul(number(rect.east - rect.west))
}

/// About `count` points, spread evenly over the part of a rectangle within the disks. None is close to a known position,
/// because no cut could separate the two.
fn evenly(rect: Rect, disks: &[&Disk], count: usize, known: &[LatLng]) -> Vec<LatLng> {
    let is_within = |at: &LatLng| disks.iter().any(|disk| disk.contains(*at));
    let within = grid(rect, SAMPLE_POINTS).filter(is_within).count().max(1);
    let count = (count * SAMPLE_POINTS / within).min(squares(rect));
    let taken: HashSet<(i64, i64)> = known.iter().map(|at| square(*at)).collect();
    let is_free = |at: &LatLng| {
        let (row, column) = square(*at);
        let around = |offset: i64| (column - 1..=column + 1).map(move |column| (row + offset, column));
        !(-1..=1).flat_map(around).any(|square| taken.contains(&square))
    };
    grid(rect, count).filter(is_within).filter(is_free).collect()
}

/// About `count` positions, spread evenly over a rectangle.
fn grid(rect: Rect, count: usize) -> impl Iterator<Item = LatLng> {
    let side = u32::try_from(count.isqrt().max(1)).unwrap_or(u32::MAX);
    let at = move |low: f64, high: f64, step: u32| low + (high - low) * (f64::from(step) + 0.5) / f64::from(side);
    (0..side).flat_map(move |row| {
        (0..side).filter_map(move |column| {
            LatLng::new(at(rect.south, rect.north, row), at(rect.west, rect.east, column)).ok()
        })
    })
}

/// The number of places that each of some positions stands for.
#[expect(clippy::cast_precision_loss, reason = "positions are fewer than a float can count")]
fn ratio(places: usize, positions: usize) -> f64 {
    places as f64 / positions.max(1) as f64
}

#[cfg(test)]
mod tests;
