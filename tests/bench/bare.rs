//! The minimum cost of writing the rows of a crawl: the same rows, in batches, and nothing else.

use sqlx::PgPool;
use tokio::time::Instant;

/// What was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// The number of rows.
    pub(crate) rows: f64,
    /// The time that it took.
    pub(crate) elapsed_s: f64,
}

type Texts = Vec<Option<String>>;
type Places = (Vec<String>, Texts, Texts, Texts, Texts, Texts, Texts, Vec<f64>, Vec<f64>, Texts);
type Links = (Vec<String>, Vec<i32>);
type Listings = (Vec<i32>, Vec<i32>, Vec<String>, Vec<i32>);

/// One row per batch and one array per column, in the physical order of the table.
macro_rules! batches {
    ($table:literal, $columns:literal) => {
        concat!(
            "select ",
            $columns,
            " from (select *, (row_number() over (order by ctid) - 1) / 1000 as batch from ",
            $table,
            ") as row group by batch order by batch"
        )
    };
}

/// Reads all places, matches and listings, truncates the tables, and measures how long it takes to insert them again.
pub(crate) async fn upsert(pool: &PgPool) -> anyhow::Result<Written> {
    let places: Vec<Places> = sqlx::query_as(batches!(
        "place",
        "array_agg(place_id), array_agg(name), array_agg(category_name), array_agg(category_group_code), array_agg(phone),
         array_agg(address), array_agg(road_address), array_agg(latitude), array_agg(longitude), array_agg(url)"
    ))
    .fetch_all(pool)
    .await?;
    let links: Vec<Links> =
        sqlx::query_as(batches!("place_keyword", "array_agg(place_id), array_agg(keyword_id)")).fetch_all(pool).await?;
    let listings: Vec<Listings> = sqlx::query_as(batches!(
        "listing",
        "array_agg(station_id), array_agg(keyword_id), array_agg(place_id), array_agg(distance_m)"
    ))
    .fetch_all(pool)
    .await?;
    sqlx::raw_sql("truncate place, place_keyword, listing, place_change, place_doubt; checkpoint")
        .execute(pool)
        .await?;

    let mut connection = pool.acquire().await?;
    let started = Instant::now();
    let mut rows = 0;
    for batch in places {
        let insert = sqlx::query(
            "insert into place as p (place_id, name, category_name, category_group_code, phone, address, road_address,
                 latitude, longitude, url, first_seen_at, changed_at)
             select *, now(), now() from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                 $7::text[], $8::float8[], $9::float8[], $10::text[])
             on conflict (place_id) do update set name = excluded.name",
        );
        let insert = insert.bind(batch.0).bind(batch.1).bind(batch.2).bind(batch.3).bind(batch.4).bind(batch.5);
        let insert = insert.bind(batch.6).bind(batch.7).bind(batch.8).bind(batch.9);
        rows += insert.execute(&mut *connection).await?.rows_affected();
    }
    for batch in links {
        let insert = sqlx::query(
            "insert into place_keyword (place_id, keyword_id, first_seen_at, last_seen_run, position)
             select place_id, keyword_id, now(), 1, point(longitude, latitude)
             from unnest($1::text[], $2::int[]) as t (place_id, keyword_id) join place using (place_id)
             on conflict (place_id, keyword_id) do update set last_seen_run = excluded.last_seen_run",
        );
        rows += insert.bind(batch.0).bind(batch.1).execute(&mut *connection).await?.rows_affected();
    }
    for batch in listings {
        let insert = sqlx::query(
            "insert into listing (station_id, keyword_id, place_id, distance_m)
             select * from unnest($1::int[], $2::int[], $3::text[], $4::int[])
             on conflict (station_id, keyword_id, place_id) do update set distance_m = excluded.distance_m",
        );
        let insert = insert.bind(batch.0).bind(batch.1).bind(batch.2).bind(batch.3);
        rows += insert.execute(&mut *connection).await?.rows_affected();
    }
    Ok(Written { rows: u32::try_from(rows)?.into(), elapsed_s: started.elapsed().as_secs_f64() })
}
