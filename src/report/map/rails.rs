//! The railway lines on the maps.
//!
//! The station file lists the lines of each station but not the order of the stations. A line is therefore drawn as the
//! minimum spanning tree of its stations, which matches the real line well. A circular line is drawn with one gap.

use std::collections::{BTreeMap, BTreeSet};

use super::projection::Projection;
use crate::domain::geo::LatLng;
use crate::store::StationReport;

/// Maximum distance between neighbouring stations of a line, in degrees (about 20 km).
const FARTHEST: f64 = 0.2;

/// All lines as one path.
pub(super) fn path(stations: &[&StationReport], projection: &Projection) -> String {
    let mut lines: BTreeMap<&str, Vec<LatLng>> = BTreeMap::new();
    for station in stations {
        for line in &station.lines {
            lines.entry(line).or_default().push(station.position);
        }
    }
    // Lines that share a section are drawn once there.
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

/// The edges of the minimum spanning tree of some positions (Prim's algorithm).
fn tree(positions: &[LatLng]) -> Vec<(LatLng, LatLng)> {
    let Some((first, rest)) = positions.split_first() else { return Vec::new() };
    let mut joins = Vec::new();
    // Each position that is not in the tree yet, with the nearest position in the tree.
    let mut outside: Vec<(LatLng, LatLng)> = rest.iter().map(|position| (*position, *first)).collect();
    let gap = |(position, near): (LatLng, LatLng)| position.flat_degrees(near);
    while let Some(at) = (0..outside.len()).min_by(|one, other| gap(outside[*one]).total_cmp(&gap(outside[*other]))) {
        let (added, joined) = outside.swap_remove(at);
        if added.flat_degrees(joined) <= FARTHEST {
            joins.push((joined, added));
        }
        for (position, near) in &mut outside {
            if position.flat_degrees(added) < position.flat_degrees(*near) {
                *near = added;
            }
        }
    }
    joins
}

#[cfg(test)]
mod tests {
    use super::tree;
    use crate::domain::geo::LatLng;

    #[test]
    fn the_order_of_the_stations_does_not_matter() {
        let line = [127.03, 127.0, 127.02, 127.01].map(|longitude| LatLng::new(37.5, longitude).unwrap());

        let mut joins: Vec<String> =
            tree(&line).iter().map(|(one, other)| format!("{:.2} {:.2}", one.longitude(), other.longitude())).collect();

        joins.sort();
        assert_eq!(joins, ["127.01 127.00", "127.02 127.01", "127.03 127.02"]);
    }

    #[test]
    fn two_lines_of_the_same_name_in_different_cities_are_not_joined() {
        let far = [(37.5, 127.0), (37.51, 127.0), (35.1, 129.0)];
        let far = far.map(|(latitude, longitude)| LatLng::new(latitude, longitude).unwrap());

        assert_eq!(tree(&far).len(), 1);
    }
}
