//! What the answers to the canaries show.

use std::collections::BTreeSet;

use super::{Answer, Subject};
use crate::domain::cell::{Meta, PAGE_SIZE};
use crate::domain::drift::{Check, Consequence, Finding};
use crate::domain::geo::{Area, Circle, LatLng, Rect};
use crate::domain::place::{Place, PlaceId};
use crate::domain::run::Coverage;
use crate::domain::words::first_few;
use crate::kakao::Page;
use crate::store::NamedPlace;

/// The numbers of results that the API shows of a search: 45, and 44 was recorded.
const LIMITS: [u32; 2] = [44, 45];

/// Minimum number of known places from which their absence says something.
const FEW: usize = 10;

/// Minimum number of documents from which a field that all of them lack says something.
const FEW_DOCUMENTS: usize = 3;

/// So many places may open at once, for example in a new building.
const NEW_BUILDING: usize = 20;

/// Distances on a map projection differ from the ellipsoid's by up to this many metres, and this share.
const TOLERANCE_M: f64 = 2.0;
const TOLERANCE_SHARE: f64 = 0.01;

/// Two places with the same name that are closer than this, in metres, are one place with two ids.
const SAME_SPOT_M: f64 = 30.0;

fn finding(check: Check, consequence: Consequence, text: String) -> Finding {
    Finding { check, consequence, text }
}

/// A search has no usable answer. The cells of the run show whether it is the only one.
pub(super) fn unanswered(why: &str) -> Finding {
    finding(
        Check::Answer,
        Consequence::Warning,
        format!("the API gave no usable answer to one of the first searches: {why}"),
    )
}

/// Whether an answer has too few documents to say something about all of them.
pub(super) fn is_poor(page: &Page) -> bool {
    page.documents < FEW_DOCUMENTS
}

/// A run without a stored field would erase that field of every place.
pub(super) fn fields(page: &Page) -> Vec<Finding> {
    let Some(form) = page.form.as_ref().filter(|_| !is_poor(page)) else { return Vec::new() };
    let say = |fields: &[&str], consequence, text: fn(&str) -> String| {
        (!fields.is_empty()).then(|| finding(Check::Fields, consequence, text(&first_few(fields))))
    };
    let gone = |fields: &str| format!("the API no longer returns {fields}");
    let found = [
        say(&form.missing, Consequence::NoRun, gone),
        say(&form.missing_others, Consequence::Warning, gone),
        say(&form.missing_in_some, Consequence::Warning, |fields| {
            format!("the API returns {fields} with some places only")
        }),
        say(&form.numbers, Consequence::Warning, |fields| format!("the API returns {fields} as a number, not as text")),
    ];
    found.into_iter().flatten().collect()
}

/// Whether a circle bounds the result. The searches by name that precede a closing need that, and a run by station is made of
/// such searches.
pub(super) fn radius(page: &Page, circle: Circle, coverage: Coverage) -> Option<Finding> {
    let (outside, all) = outside(page, Area::Circle(circle));
    let consequence = match coverage {
        Coverage::Station => Consequence::NoRun,
        Coverage::Complete => Consequence::NoClosings,
    };
    is_unbounded(outside, all).then(|| {
        let text = format!("a search by circle returned {outside} of {all} places outside the circle");
        finding(Check::Radius, consequence, text)
    })
}

/// Whether so many places lie outside that the area does not bound the result. A stray one says nothing: a cell leaves it out.
fn is_unbounded(outside: usize, all: usize) -> bool {
    outside > 1 && outside * 5 > all
}

/// The number of places outside an area, and of all.
fn outside(page: &Page, area: Area) -> (usize, usize) {
    (page.places.iter().filter(|place| !area.holds(place.position)).count(), page.places.len())
}

/// Nothing depends on the distances, so a difference is only recorded.
pub(super) fn distances(page: &Page, center: LatLng) -> Option<Finding> {
    let form = page.form.as_ref().filter(|form| !form.missing_others.contains(&"distance"))?;
    let warn = |text| Some(finding(Check::Distance, Consequence::Warning, text));
    if !form.distances_m.is_empty() && form.distances_m.iter().all(Option::is_none) {
        return warn("the API no longer returns the distance from the centre".to_owned());
    }
    // A rejected document has a distance, but no position to compare it with.
    if page.places.len() != form.distances_m.len() {
        return None;
    }
    let differs = |(place, told): (&Place, &Option<f64>)| {
        let (told, measured) = ((*told)?, center.distance_m(place.position));
        ((told - measured).abs() > TOLERANCE_M + measured * TOLERANCE_SHARE).then_some((told, measured))
    };
    let (told, measured) = page.places.iter().zip(&form.distances_m).find_map(differs)?;
    warn(format!("the API returns a distance of {told:.0} where {measured:.0} m are measured"))
}

/// Whether a later page shows nothing that was not shown before.
pub(super) fn repeats(number: u32, shown: &[Place], page: &Page) -> Option<Finding> {
    let known: BTreeSet<&PlaceId> = shown.iter().map(|place| &place.id).collect();
    let is_new = page.places.iter().any(|place| !known.contains(&place.id));
    (!is_new).then(|| {
        let text = if page.documents == 0 {
            format!("page {number} of a search is empty although more places were counted")
        } else {
            format!("page {number} of a search only repeats earlier pages")
        };
        finding(Check::Pages, Consequence::NoClosings, text)
    })
}

/// Compares the places of the circle with those that are known to be there.
pub(super) fn known(subject: &Subject, counted: u32, shown: &[Place]) -> Option<Finding> {
    let Subject { known, keyword, .. } = subject;
    let (are, count) = (known.len(), counted as usize);
    if are == 0 {
        return None;
    }
    if count > are + are / 2 + NEW_BUILDING {
        let text = format!("the API counts {count} places for {keyword} where {are} are known");
        return Some(finding(Check::Known, Consequence::NoOpenings, text));
    }
    let back = known.iter().filter(|id| shown.iter().any(|place| place.id == **id)).count();
    // A search that was not read to its end says nothing about the places that it did not show.
    let is_read = shown.len() >= count;
    (is_read && are >= FEW && back * 3 < are * 2).then(|| {
        let text = format!("the search for {keyword} returned only {back} of {are} known places");
        finding(Check::Known, Consequence::NoClosings, text)
    })
}

/// Whether the same search always has the same count. A small difference may be a place that opened just now.
pub(super) fn count(counts: &[u32]) -> Option<Finding> {
    let (least, most) = (*counts.iter().min()?, *counts.iter().max()?);
    let difference = most - least;
    // The API may count anything, so the product may not fit.
    let is_small = difference <= 1 || u64::from(difference) * 20 <= u64::from(most);
    let consequence = if is_small { Consequence::Warning } else { Consequence::NoClosings };
    let text = format!("the same search counted {least} places, and {most} another time");
    (difference > 0).then(|| finding(Check::Count, consequence, text))
}

/// Whether the API ignores a parameter that it does not know. It may not do so for ever.
pub(super) fn parameter(counts: &[u32], answer: &Answer) -> Option<Finding> {
    let warn = |text| Some(finding(Check::Parameter, Consequence::Warning, text));
    let is_stable = counts.windows(2).all(|pair| pair.first() == pair.last());
    match answer {
        Err(why) => warn(format!("the API rejects a parameter that it does not know: {why}")),
        Ok(page) if is_stable && !counts.contains(&page.meta.total_count) => {
            warn("a parameter that the API does not know changes the result".to_owned())
        }
        Ok(_) => None,
    }
}

/// Whether places come by distance. A search by name takes a place for absent if it is not among the nearest.
pub(super) fn sorted(center: LatLng, answer: &Answer) -> Option<Finding> {
    let held = |text| Some(finding(Check::Sort, Consequence::NoClosings, text));
    let page = match answer {
        Ok(page) => page,
        Err(why) => return held(format!("the API rejects sort=distance: {why}")),
    };
    let distances: Vec<f64> = page.places.iter().map(|place| center.distance_m(place.position)).collect();
    let is_sorted = distances.windows(2).all(|pair| match pair {
        [near, far] => *near <= *far + TOLERANCE_M + *far * TOLERANCE_SHARE,
        _ => true,
    });
    if is_sorted { None } else { held("the API ignores sort=distance".to_owned()) }
}

/// The western or southern half of the places of a circle, as a rectangle. If they cannot be halved, it contains all.
pub(super) fn half(circle: Circle, positions: &[LatLng]) -> Rect {
    let frame = Rect::at(circle.center).widened(f64::from(circle.radius_m));
    let middle = |degrees: fn(LatLng) -> f64| {
        let mut all: Vec<f64> = positions.iter().map(|position| degrees(*position)).collect();
        all.sort_by(f64::total_cmp);
        let (low, high) = all.split_at(all.len() / 2);
        let (low, highest) = (*low.last()?, *high.last()?);
        // Some places must lie clearly outside: farther than the rectangle grows when it is sent.
        (highest - low > 1e-4).then_some(low)
    };
    if let Some(east) = middle(LatLng::longitude) {
        return Rect { east, ..frame };
    }
    middle(LatLng::latitude).map_or(frame, |north| Rect { north, ..frame })
}

/// Whether a rectangle bounds the result and shows the places inside.
pub(super) fn rect(rect: Rect, inside: usize, answer: &Answer, coverage: Coverage) -> Option<Finding> {
    let consequence = match coverage {
        Coverage::Complete => Consequence::ByStation,
        Coverage::Station => Consequence::Warning,
    };
    let found = |text| Some(finding(Check::Rect, consequence, text));
    let page = match answer {
        Ok(page) => page,
        Err(why) => return found(format!("the API rejects a search by rectangle: {why}")),
    };
    let (outside, all) = outside(page, Area::Rect(rect));
    if is_unbounded(outside, all) {
        return found(format!("a search by rectangle returned {outside} of {all} places outside the rectangle"));
    }
    let least = inside.min(PAGE_SIZE as usize);
    let is_short = page.documents < least && (page.meta.total_count as usize) < inside;
    // A place or two may have closed between two requests.
    if is_short && least >= 4 && page.documents * 2 < least {
        return found(format!("a search by rectangle returned {} places where {inside} are", page.documents));
    }
    None
}

/// Whether the API still shows at most 45 results. Cells are planned for that number, but read by what each answer says.
pub(super) fn limit(meta: Meta) -> Option<Finding> {
    let Meta { total_count, pageable_count, .. } = meta;
    let is_beyond = total_count > LIMITS[1] && !LIMITS.contains(&pageable_count);
    (is_beyond || pageable_count > LIMITS[1]).then(|| {
        let text = format!("the API shows at most {pageable_count} results of a search, not {}", LIMITS[1]);
        finding(Check::Limit, Consequence::Warning, text)
    })
}

/// Whether known places have their ids. With other ids, every place would close, and open once more.
pub(super) fn names(answers: &[(&NamedPlace, Vec<Place>)]) -> Option<Finding> {
    let has = |(place, found): &&(&NamedPlace, Vec<Place>)| found.iter().any(|other| other.id == place.id);
    let twin = |(place, found): &(&NamedPlace, Vec<Place>)| {
        let is_twin =
            |other: &&Place| other.name == place.name && other.position.distance_m(place.position) <= SAME_SPOT_M;
        Some(format!("{} → {}", place.id, found.iter().find(is_twin)?.id))
    };
    let renumbered: Vec<String> = answers.iter().filter(|answer| !has(answer)).filter_map(twin).collect();
    let examples = renumbered.iter().map(String::as_str).collect::<Vec<_>>();
    match renumbered.len() {
        0 => {}
        // One may have been registered anew, or have a neighbour of the same name.
        1 => {
            let text = format!("a known place ({}) has another id", first_few(&examples));
            return Some(finding(Check::Names, Consequence::Warning, text));
        }
        _ => {
            let text = format!("known places ({}) have other ids", first_few(&examples));
            return Some(finding(Check::Names, Consequence::NoRun, text));
        }
    }
    let is_none_found = answers.len() > 1 && !answers.iter().any(|answer| has(&answer));
    is_none_found.then(|| {
        let text = format!("none of {} known places is found by its name", answers.len());
        finding(Check::Names, Consequence::NoClosings, text)
    })
}

#[cfg(test)]
mod tests;
