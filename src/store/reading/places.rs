//! Reads places for an export. Each place is returned once, however many keywords and stations it has.

use chrono::{DateTime, Utc};
use futures_util::{Stream, TryStreamExt};

use super::{Part, Reader};
use crate::store::Error;

/// Selects the places to read.
#[derive(Clone, Debug)]
pub struct PlaceFilter {
    /// Limits them to stations and keywords.
    pub part: Part,
    /// Whether closed places are left out.
    pub only_open: bool,
}

/// A place, with its keywords and its nearest station.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "named like the columns, which are documented")]
pub struct PlaceRow {
    pub place_id: String,
    pub name: String,
    pub category_name: Option<String>,
    pub category_group_code: Option<String>,
    pub phone: Option<String>,
    pub address: Option<String>,
    pub road_address: Option<String>,
    pub latitude: f64,
    pub longitude: f64,
    pub url: Option<String>,
    /// The keywords of its matches. Dropped matches are left out unless all are dropped.
    pub keywords: Vec<String>,
    /// The nearest station that lists it; `None` if no station does. A dropped match counts only if all are dropped.
    pub station: Option<String>,
    /// The distance from that station, in metres.
    pub distance_m: Option<i32>,
    pub first_seen_at: DateTime<Utc>,
    pub changed_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
}

impl Reader {
    /// Streams the places that the filter selects, ordered by id.
    pub fn places(&mut self, filter: &PlaceFilter) -> impl Stream<Item = Result<PlaceRow, Error>> {
        sqlx::query_as!(
            PlaceRow,
            r#"select p.place_id, p.name, p.category_name, p.category_group_code, p.phone, p.address, p.road_address,
                 p.latitude, p.longitude, p.url, coalesce(found.keywords, '{}') as "keywords!",
                 nearest.name as "station?", nearest.distance_m as "distance_m?",
                 p.first_seen_at, p.changed_at, p.closed_at
             from place p
             left join (
                 select k.place_id, coalesce(array_agg(w.query order by w.query) filter (where k.gone_at is null),
                     array_agg(w.query order by w.query)) as keywords
                 from place_keyword k join keyword w using (keyword_id)
                 group by k.place_id
             ) found on found.place_id = p.place_id
             left join (
                 select distinct on (l.place_id) l.place_id, s.name, l.distance_m
                 from listing l join station s using (station_id)
                 order by l.place_id, (l.gone_at is not null), l.distance_m, l.station_id
             ) nearest on nearest.place_id = p.place_id
             where (not $1 or p.closed_at is null)
             and ($2::int[] is null or p.place_id in (select place_id from listing where station_id = any($2)))
             and ($3::int[] is null or exists (
                 select from place_keyword k where k.place_id = p.place_id and k.keyword_id = any($3)))
             order by p.place_id"#,
            filter.only_open,
            filter.part.station_ids() as Option<Vec<i32>>,
            filter.part.keyword_ids() as Option<Vec<i32>>
        )
        .fetch(&mut self.connection)
        .map_err(Error::from)
    }
}
