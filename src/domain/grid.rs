//! A spatial index: positions in the buckets of a grid, so that those near a rectangle are found quickly.

use std::collections::BTreeMap;

use super::geo::{LatLng, Rect};

/// Numbered positions in buckets. No side of a bucket is longer than a given length.
#[derive(Debug)]
pub(super) struct Grid {
    /// By row and column.
    buckets: BTreeMap<(i64, i64), Vec<usize>>,
    rows_per_degree: f64,
    columns_per_degree: f64,
}

impl Grid {
    /// Sorts positions into buckets.
    pub(super) fn new(positions: impl Iterator<Item = (usize, LatLng)> + Clone, side_m: f64) -> Self {
        let nearest_to_equator = positions.clone().map(|(_, at)| at.latitude().abs()).fold(90.0, f64::min);
        // The rectangle of one degree where degrees of longitude are longest among the positions.
        let degree = Rect { west: 0.0, south: nearest_to_equator, east: 1.0, north: nearest_to_equator + 1.0 };
        let mut grid = Self {
            buckets: BTreeMap::new(),
            rows_per_degree: degree.height_m() / side_m,
            columns_per_degree: degree.width_m() / side_m,
        };
        for (number, at) in positions {
            let bucket = (grid.row(at.latitude()), grid.column(at.longitude()));
            grid.buckets.entry(bucket).or_default().push(number);
        }
        grid
    }

    /// The numbers in each bucket.
    pub(super) fn buckets(&self) -> impl Iterator<Item = &[usize]> {
        self.buckets.values().map(Vec::as_slice)
    }

    /// The buckets that may contain positions within a distance of a rectangle.
    pub(super) fn near(&self, rect: Rect, within_m: f64) -> impl Iterator<Item = &[usize]> {
        let Rect { west, south, east, north } = rect.widened(within_m);
        let columns = (self.column(west), self.column(east));
        let rows = self.row(south)..=self.row(north);
        rows.flat_map(move |row| self.buckets.range((row, columns.0)..=(row, columns.1)))
            .map(|(_, numbers)| numbers.as_slice())
    }

    #[expect(clippy::cast_possible_truncation, reason = "rows are few; the float cast saturates")]
    fn row(&self, latitude: f64) -> i64 {
        (latitude * self.rows_per_degree).floor() as i64
    }

    #[expect(clippy::cast_possible_truncation, reason = "columns are few; the float cast saturates")]
    fn column(&self, longitude: f64) -> i64 {
        (longitude * self.columns_per_degree).floor() as i64
    }
}
