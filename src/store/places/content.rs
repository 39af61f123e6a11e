//! The content of places: what is new or differs is written, and what differs is told.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{stored_id, stored_position};
use crate::domain::geo::LatLng;
use crate::domain::place::{Place, PlaceId};
use crate::domain::run::RunId;
use crate::store::{Error, Written};

/// What writing some places found out.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// How many were new or had changed.
    pub(super) written: Written,
    /// Those that moved, and where they were before.
    pub(super) moved: Vec<(PlaceId, LatLng)>,
}

/// Writes the places that are new or differ. Of those that differ, `place_change` keeps what it was and what it is.
pub(super) async fn write(
    connection: &mut PgConnection,
    run: RunId,
    places: &BTreeMap<&PlaceId, &Place>,
    now: DateTime<Utc>,
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
        now,
        run.0
    )
    .fetch_all(connection)
    .await?;
    let mut stored = Stored::default();
    for row in rows {
        match row.latitude.zip(row.longitude) {
            None => stored.written.places_new += 1,
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
