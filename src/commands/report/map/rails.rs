//! The lines of rails beneath the stations.
//!
//! The station file tells which lines stop at a station and not in which order. The shortest tree that joins the
//! stations of a line is the line, but for a gap in a ring.

use std::collections::{BTreeMap, BTreeSet};

use super::projection::Projection;
use crate::domain::geo::LatLng;
use crate::store::StationReport;

/// Stations of one line that are farther from each other are not neighbours, in degrees (about 20 km).
const FARTHEST: f64 = 0.2;

/// All lines as one path.
pub(super) fn path(stations: &[&StationReport], projection: &Projection) -> String {
    let mut lines: BTreeMap<&str, Vec<LatLng>> = BTreeMap::new();
    for station in stations {
        for line in &station.lines {
            lines.entry(line).or_default().push(station.position);
        }
    }
    // Two lines on the same rails are drawn once.
    let drawn: BTreeSet<String> = lines
        .values()
        .flat_map(|line| tree(line))
        .map(|(one, other)| {
            let ((x, y), (to_x, to_y)) = (projection.point(one), projection.point(other));
            format!("M{x:.1} {y:.1}L{to_x:.1} {to_y:.1}")
        })
        .collect();
    drawn.into_iter().collect()
}

/// The shortest tree over some positions (Prim's), as pairs.
fn tree(positions: &[LatLng]) -> Vec<(LatLng, LatLng)> {
    let Some((first, rest)) = positions.split_first() else { return Vec::new() };
    let mut joins = Vec::new();
    // Each position that is not in the tree yet, and the one in the tree that is nearest to it.
    let mut outside: Vec<(LatLng, LatLng)> = rest.iter().map(|position| (*position, *first)).collect();
    while let Some(at) =
        (0..outside.len()).min_by(|one, other| length(outside[*one]).total_cmp(&length(outside[*other])))
    {
        let (added, joined) = outside.swap_remove(at);
        if length((added, joined)) <= FARTHEST {
            joins.push((joined, added));
        }
        for (position, near) in &mut outside {
            if length((*position, added)) < length((*position, *near)) {
                *near = added;
            }
        }
    }
    joins
}

fn length((one, other): (LatLng, LatLng)) -> f64 {
    let east = (one.longitude() - other.longitude()) * one.latitude().to_radians().cos();
    east.hypot(one.latitude() - other.latitude())
}

#[cfg(test)]
mod tests {
    use super::tree;
    use crate::domain::geo::LatLng;

    #[test]
    fn a_line_is_found_whatever_the_order_of_its_stations() {
        let line = [127.03, 127.0, 127.02, 127.01].map(|longitude| LatLng::new(37.5, longitude).unwrap());

        let mut joins: Vec<String> =
            tree(&line).iter().map(|(one, other)| format!("{:.2} {:.2}", one.longitude(), other.longitude())).collect();

        joins.sort();
        assert_eq!(joins, ["127.01 127.00", "127.02 127.01", "127.03 127.02"]);
    }

    #[test]
    fn two_lines_of_one_name_in_different_towns_are_not_joined() {
        let far = [(37.5, 127.0), (37.51, 127.0), (35.1, 129.0)];
        let far = far.map(|(latitude, longitude)| LatLng::new(latitude, longitude).unwrap());

        assert_eq!(tree(&far).len(), 1);
    }
}
