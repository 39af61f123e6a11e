//! Reads places for an export. Each place is returned once, however many keywords and stations it has.

use chrono::{DateTime, Utc};

use super::{Part, Reader};
use crate::domain::geo::LatLng;
use crate::domain::station::StationId;
use crate::store::Error;

/// Selects the places to read.
#[derive(Clone, Debug)]
pub struct PlaceFilter {
    /// Limits them to stations and keywords.
    pub part: Part,
    /// Whether closed places are left out.
    pub only_open: bool,
    /// Whether places are left out that no station lists, because they are beside the circles.
    pub only_listed: bool,
}

/// A place that is to be read.
#[derive(Clone, Debug)]
pub struct PlaceKey {
    /// Its id.
    pub place_id: String,
    /// How far along the curve it lies ([`LatLng::along_curve`]); 0 if its position is impossible.
    pub along_curve: u32,
}

struct Row {
    place_id: String,
    latitude: f64,
    longitude: f64,
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
    /// The nearest station that lists it, of those that were asked for; `None` if no station does. A dropped match counts only
    /// if all are dropped.
    pub station: Option<String>,
    /// The distance from that station, in metres.
    pub distance_m: Option<i32>,
    pub first_seen_at: DateTime<Utc>,
    pub changed_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
    /// The rail network of that station.
    pub region: Option<String>,
    /// The lines of that station.
    pub lines: Vec<String>,
}

impl Reader {
    /// The next places that the filter selects, ordered by id, after the one with the id `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn place_keys(&mut self, filter: &PlaceFilter, after: &str, limit: i64) -> Result<Vec<PlaceKey>, Error> {
        // `offset 0` keeps the lookup by place: a hash of all listings would be made again for each page.
        let rows = sqlx::query_as!(
            Row,
            "select p.place_id, p.latitude, p.longitude
             from place p
             where p.place_id > $1 and (not $2 or p.closed_at is null)
             and (not $3 or exists (select from listing l where l.place_id = p.place_id offset 0))
             and ($4::int[] is null or exists (
                 select from listing l where l.place_id = p.place_id and l.station_id = any($4) offset 0))
             and ($5::int[] is null or exists (
                 select from place_keyword k where k.place_id = p.place_id and k.keyword_id = any($5) offset 0))
             order by p.place_id
             limit $6",
            after,
            filter.only_open,
            filter.only_listed,
            filter.part.station_ids() as Option<Vec<i32>>,
            filter.part.keyword_ids() as Option<Vec<i32>>,
            limit
        )
        .fetch_all(&mut self.connection)
        .await?;
        let key = |row: Row| {
            let along_curve = LatLng::new(row.latitude, row.longitude).map_or(0, LatLng::along_curve);
            PlaceKey { place_id: row.place_id, along_curve }
        };
        Ok(rows.into_iter().map(key).collect())
    }

    /// These places, in this order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn places(
        &mut self,
        place_ids: &[String],
        stations: Option<&[StationId]>,
    ) -> Result<Vec<PlaceRow>, Error> {
        let stations: Option<Vec<i32>> = stations.map(|stations| stations.iter().map(|station| station.0).collect());
        let rows = sqlx::query_as!(
            PlaceRow,
            r#"with wanted as materialized (
                 select place_id, number from unnest($1::text[]) with ordinality as t (place_id, number)
             ), found as (
                 select k.place_id, coalesce(array_agg(w.query order by w.query) filter (where k.gone_at is null),
                     array_agg(w.query order by w.query)) as keywords
                 from wanted join place_keyword k using (place_id) join keyword w using (keyword_id)
                 group by k.place_id
             ), nearest as (
                 select distinct on (l.place_id) l.place_id, s.name, s.region, s.lines, l.distance_m
                 from wanted join listing l using (place_id) join station s using (station_id)
                 where $2::int[] is null or l.station_id = any($2)
                 order by l.place_id, (l.gone_at is not null), l.distance_m, l.station_id
             )
             select p.place_id, p.name, p.category_name, p.category_group_code, p.phone, p.address, p.road_address,
                 p.latitude, p.longitude, p.url, coalesce(found.keywords, '{}') as "keywords!",
                 nearest.name as "station?", nearest.distance_m as "distance_m?",
                 p.first_seen_at, p.changed_at, p.closed_at,
                 nearest.region as "region?", coalesce(nearest.lines, '{}') as "lines!"
             from wanted
             join place p using (place_id)
             left join found using (place_id)
             left join nearest using (place_id)
             order by wanted.number"#,
            place_ids,
            stations as Option<Vec<i32>>
        )
        .fetch_all(&mut self.connection)
        .await?;
        Ok(rows)
    }
}
