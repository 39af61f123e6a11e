//! Queries of readers: places near a station, and places near a position.

use sanggwond::domain::geo::LatLng;
use sqlx::AssertSqlSafe;

use crate::support::Stage;
use crate::support::python::{for_libpq, python};

/// The centre of the places: within 1 km of it they are as dense as in a busy street.
const HERE: (f64, f64) = (37.498, 127.0276);

/// Number of places; they are identified by 0 to 599.
const PLACES: u32 = 600;

/// The position of a place: denser towards the centre, in all directions.
fn position(number: u32) -> LatLng {
    let distance = 0.03 * (f64::from(number) / f64::from(PLACES)).powi(2);
    let (east, north) = (f64::from(number) * 2.4).sin_cos();
    LatLng::new(HERE.0 + north * distance, HERE.1 + east * distance).unwrap()
}

/// Whether a keyword finds a place: 카페 finds all, 공원 each tenth, but no keyword finds each seventh any more.
fn is_found_by(number: u32, keyword: Option<&str>) -> bool {
    let is_open = !number.is_multiple_of(7);
    is_open && (keyword != Some("공원") || number.is_multiple_of(10))
}

/// A stage with the places of this test, written by SQL statements.
async fn stage() -> Stage {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    stage.execute("insert into keyword (query) values ('카페'), ('공원'), ('미술관')").await;
    for number in 0..PLACES {
        let at = position(number);
        let keywords = if is_found_by(number, Some("공원")) { "1, 2" } else { "1" };
        let gone = if is_found_by(number, None) { "null" } else { "now()" };
        // Half of them have moved here from elsewhere.
        let from = if number.is_multiple_of(2) { at } else { LatLng::new(36.0, 128.0).unwrap() };
        let sql = format!(
            "insert into place (place_id, name, latitude, longitude, first_seen_at, changed_at)
             values ('{number}', 'x', {}, {}, now(), now());
             insert into place_keyword (place_id, keyword_id, first_seen_at, last_seen_run, position)
             select place_id, keyword_id, now(), 1, point(longitude, latitude) from place, unnest(array[{keywords}]) as t (keyword_id)
             where place_id = '{number}';
             update place set latitude = {}, longitude = {}, closed_at = {gone} where place_id = '{number}';
             update place_keyword set gone_at = {gone} where place_id = '{number}'",
            from.latitude(),
            from.longitude(),
            at.latitude(),
            at.longitude()
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(stage.pool()).await.unwrap();
    }
    stage
}

/// The places within a radius of a position by geodesic distance, nearest first.
fn expected(at: LatLng, radius_m: i32, keyword: Option<&str>) -> Vec<(String, f64)> {
    let numbers = (0..PLACES).filter(|number| is_found_by(*number, keyword));
    let mut near: Vec<_> = numbers.map(|number| (number.to_string(), at.distance_m(position(number)))).collect();
    near.retain(|(_, metres)| *metres <= f64::from(radius_m));
    near.sort_by(|a, b| a.1.total_cmp(&b.1));
    near
}

#[tokio::test]
async fn place_near_returns_exactly_the_nearest_places_on_the_ellipsoid() {
    let stage = stage().await;
    let mut connection = stage.pool().acquire().await.unwrap();
    // Readers may have another search path.
    sqlx::query("set search_path = public").execute(&mut *connection).await.unwrap();
    let mut seen = 0;

    for (latitude, longitude) in [HERE, (37.5, 127.03), (37.4982, 127.0), (37.52, 127.0276), (33.0, 126.0)] {
        for (radius_m, keyword, max_results) in
            [(1000, Some("카페"), 20), (300, None, 1000), (3000, Some("공원"), 7), (20_000, None, 5), (0, None, 5)]
        {
            let found: Vec<(String, i32)> =
                sqlx::query_as("select place_id, distance_m from sanggwond.place_near($1, $2, $3, $4, $5)")
                    .bind(latitude)
                    .bind(longitude)
                    .bind(radius_m)
                    .bind(keyword)
                    .bind(max_results)
                    .fetch_all(&mut *connection)
                    .await
                    .unwrap();

            let mut near = expected(LatLng::new(latitude, longitude).unwrap(), radius_m, keyword);
            near.truncate(usize::try_from(max_results).unwrap());
            let ids = |(id, _): &(String, _)| id.clone();
            assert_eq!(
                found.iter().map(ids).collect::<Vec<_>>(),
                near.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(),
                "{latitude}, {longitude}, {radius_m}, {keyword:?}, {max_results}"
            );
            for ((_, distance_m), (_, metres)) in found.iter().zip(&near) {
                // A distance that is almost a whole number may be rounded down either way.
                assert!((f64::from(*distance_m) - metres.floor()).abs() <= 1.0, "{distance_m} {metres}");
            }
            seen += found.len();
        }
    }

    assert!(seen > 300, "only {seen} were compared");
}

#[tokio::test]
async fn place_near_refuses_invalid_arguments_with_the_reason() {
    let stage = stage().await;
    let refused = async |arguments: &str| {
        let sql = format!("select count(*) from place_near({arguments})");
        let error = sqlx::raw_sql(AssertSqlSafe(sql)).execute(stage.pool()).await.unwrap_err();
        error.as_database_error().unwrap().message().to_owned()
    };

    assert!(refused("127.0, 37.5").await.contains("127, 37.5 is no position; latitude comes first"));
    assert!(refused("'NaN', 127").await.contains("is no position"));
    assert!(refused("37.5, 127.0, null").await.contains("the radius is null"));
    assert!(refused("37.5, 127.0, -1").await.contains("the radius is -1; it must be 0 to 20000 metres"));
    assert!(refused("37.5, 127.0, 1000, null, -1").await.contains("-1 results were asked for"));
    let count = "select count(*) from place_near(37.498, 127.0276, 20000, '술집')";
    assert_eq!(stage.value::<i64>(count).await, 0, "an unknown keyword finds nothing");
    assert_eq!(stage.value::<i64>("select count(*) from place_near(37.498, 127.0276)").await, 20);
}

#[tokio::test]
async fn a_new_stamp_does_not_update_the_index_of_positions() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let moved = "select n_tup_upd - n_tup_hot_upd from pg_stat_user_tables where relname = 'place_keyword'";

    stage.crawl().await;

    // A session counts its updates at its end.
    stage.becomes_true("select n_tup_upd >= 26 from pg_stat_user_tables where relname = 'place_keyword'").await;
    assert_eq!(stage.value::<i64>(moved).await, 0);
}

#[tokio::test]
async fn a_place_is_returned_once_per_station_name() {
    let stage = Stage::small().await;
    stage.crawl().await;

    // Two stations have this name, and place 21 is near both.
    let rows = "select format('%s %s', id, category) from local_info
        where is_deleted = false and station_name = '신촌역' and id = '21' order by 1";
    assert_eq!(stage.texts(rows).await, ["21 공원", "21 카페"]);
    let listings = "select count(*) from listing where place_id = '21'";
    assert_eq!(stage.value::<i64>(listings).await, 4);
}

/// How the view was defined before: all rows sorted, and the first of each name, keyword and place.
const FIRST_OF_EACH: &str = "select distinct on (s.name, k.query, p.place_id)
        s.name as station_name, p.name, p.place_id as id, k.query as category,
        (p.closed_at is not null or l.gone_at is not null) as is_deleted, l.distance_m, s.region, s.station_id
    from listing l join station s using (station_id) join keyword k using (keyword_id) join place p using (place_id)
    order by s.name, k.query, p.place_id, (l.gone_at is not null), l.distance_m, s.station_id";

#[tokio::test]
async fn local_info_has_the_listing_of_the_nearest_station_of_each_name() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    // Stations that share their name, at equal distances too, and matches that were dropped at some of them.
    stage
        .execute(
            "select setseed(0.5);
             insert into keyword (query) values ('카페'), ('공원');
             insert into station (name, region, lines, latitude, longitude)
             select (array['시청역', '중앙역', '서울역'])[1 + number % 3], '부산', '{}', 35, 129 from generate_series(1, 12) as number;
             insert into place (place_id, name, latitude, longitude, first_seen_at, changed_at, closed_at)
             select number::text, 'x', 35, 129, now(), now(), case when random() < 0.2 then now() end from generate_series(1, 60) as number;
             insert into listing (station_id, keyword_id, place_id, distance_m, gone_at)
             select station_id, keyword_id, place_id, floor(random() * 4), case when random() < 0.4 then now() end
             from station, keyword, place where random() < 0.6",
        )
        .await;
    let columns = "station_name, name, id, category, is_deleted, distance_m, region, station_id";

    for (one, other) in [("local_info", "first_of_each"), ("first_of_each", "local_info")] {
        let sql = format!(
            "with first_of_each as ({FIRST_OF_EACH})
             select count(*) from (select {columns} from {one} except all select {columns} from {other}) e"
        );
        let only: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(stage.pool()).await.unwrap();
        assert_eq!(only, 0, "rows of {one} that are not in {other}");
    }
    let rows: i64 = stage.value("select count(*) from local_info").await;
    assert!((200..360).contains(&rows), "{rows} rows");
}

#[tokio::test]
async fn the_model_for_django_passes_its_check_and_finds_places() {
    let Some(mut django) = python("the_model_for_django_passes_its_check_and_finds_places", "model.py") else { return };
    let stage = Stage::small().await;
    stage.crawl().await;

    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/README.md");
    let output = django.arg(document).arg(for_libpq(&stage.database.url)).output().unwrap();

    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.ends_with("\n20\n"), "{said}{errors}");
}
