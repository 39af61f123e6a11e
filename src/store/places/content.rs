//! The content of places: writes those that are new or differ, and records the differences in `place_change`.
//!
//! One answer is not enough to move a known place by more than 2 km, or to remove its name or another field. Such content
//! is kept in `place_doubt` until the end of the run, which confirms or rejects it.

use std::collections::BTreeMap;

use super::{stored_id, stored_position};
use crate::domain::geo::LatLng;
use crate::domain::place::{Place, PlaceId};
use crate::store::batch::Batch;
use crate::store::{Error, Written};

/// The result of [`write()`].
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// The numbers of new and changed places.
    pub(super) written: Written,
    /// The places that moved, with their former positions.
    pub(super) moved: Vec<(PlaceId, LatLng)>,
    /// The places whose new content must be confirmed, with their stored positions.
    pub(super) doubted: BTreeMap<PlaceId, LatLng>,
}

/// Whether content was confirmed by a search for the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// It was confirmed.
    Confirmed,
    /// It was not: content that contradicts the stored one goes to `place_doubt`.
    Unconfirmed,
}

/// Writes the places that are new or differ. Of those that differ, `place_change` keeps the former and the new values.
pub(super) async fn write(
    batch: &mut Batch<'_>,
    places: &BTreeMap<&PlaceId, &Place>,
    trust: Trust,
) -> Result<Stored, Error> {
    let text = |value: fn(&Place) -> &str| places.values().map(|place| value(place).to_owned()).collect::<Vec<_>>();
    let optional =
        |value: fn(&Place) -> &Option<String>| places.values().map(|place| value(place).clone()).collect::<Vec<_>>();
    let degrees = |value: fn(LatLng) -> f64| places.values().map(|place| value(place.position)).collect::<Vec<_>>();
    let rows = sqlx::query_file!(
        "src/store/places/content.sql",
        &text(|place| place.id.as_str()),
        &text(|place| &place.name),
        &optional(|place| &place.category_name) as &[Option<String>],
        &optional(|place| &place.category_group_code) as &[Option<String>],
        &optional(|place| &place.phone) as &[Option<String>],
        &optional(|place| &place.address) as &[Option<String>],
        &optional(|place| &place.road_address) as &[Option<String>],
        &degrees(LatLng::latitude),
        &degrees(LatLng::longitude),
        &optional(|place| &place.url) as &[Option<String>],
        batch.now,
        batch.run.0,
        trust == Trust::Confirmed
    )
    .fetch_all(&mut *batch.transaction)
    .await?;
    let mut stored = Stored::default();
    for row in rows {
        match row.latitude.zip(row.longitude) {
            None => stored.written.places_new += 1,
            Some((latitude, longitude)) if row.is_doubted => {
                stored.doubted.insert(stored_id(&row.place_id)?, stored_position(latitude, longitude)?);
            }
            Some((latitude, longitude)) => {
                stored.written.places_changed += 1;
                if row.has_moved {
                    stored.moved.push((stored_id(&row.place_id)?, stored_position(latitude, longitude)?));
                }
            }
        }
    }
    Ok(stored)
}
