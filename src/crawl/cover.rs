//! Covering the ground with rectangles, each of which the API shows in full: one pure planner for a whole keyword and for
//! a rectangle that turned out to hold too much.
//!
//! The ground is all that lies within the radius of a station. The planner divides a frame again and again, cuts away what
//! touches no circle, and stops where a rectangle is expected to hold no more than the API shows. What it expects follows
//! from positions: those of known places, or an even grid where too few are known.
//!
//! On unknown ground an even grid needs fewer requests than any guess from the handful of places that a first page shows
//! (measured on generated worlds): the guess is right where places crowd, but wastes requests wherever they do not.

mod cut;

use crate::domain::geo::{Circle, LatLng, Rect};
use cut::{cut, halves, is_heap, is_tiny, longer};

/// How many places a rectangle is expected to hold at most: one less than the API shows, for what opens in the meantime.
pub const CAPACITY: usize = 44;

/// A count of more than this is not believed, so that one wild answer does not become thousands of cells.
const MAX_TOTAL: usize = 20_000;

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
                (at.latitude() - near.latitude()).abs().max((at.longitude() - near.longitude()).abs()) > 2.0 * cut::ROOM
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
