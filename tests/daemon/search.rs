//! Looking up places and stations by a part of their name.

use sanggwond::domain::geo::LatLng;
use sqlx::AssertSqlSafe;
use unicode_normalization::UnicodeNormalization;

use crate::support::Stage;

/// The names of the places, again and again: each in several forms of Unicode, and with what means something in SQL or in a
/// text search.
const NAMES: [&str; 16] = [
    "스타벅스 강남점",
    "스타벅스 서울역점",
    "스터디카페 별",
    "별",
    "STARBUCKS Reserve",
    "ＳＴＡＲ 노래방",
    "star's 카페",
    "카페\\별",
    "a & b | !c",
    "50% 할인마트",
    "밑_줄",
    "카페",
    "고기 집",
    "고기집",
    "ｶﾌｪ 東京",
    "☕ 커피",
];

/// Where people search: in the middle of the places, at their edge, and some tens of kilometres from all of them.
const POSITIONS: [(f64, f64); 3] = [(37.5, 127.0), (37.6, 127.1), (37.1, 127.4)];

const PLACES: u32 = 640;

/// The name and the position of a place; Korean names are partly decomposed, as Macs write them.
fn place(number: u32) -> (String, LatLng) {
    let name = NAMES[usize::try_from(number).unwrap() % NAMES.len()];
    let name = if number.is_multiple_of(5) { name.nfd().collect() } else { name.to_owned() };
    let (east, north) = (f64::from(number) * 2.4).sin_cos();
    let distance = 0.3 * (f64::from(number) / f64::from(PLACES)).powi(2);
    (name, LatLng::new(37.5 + north * distance, 127.0 + east * distance).unwrap())
}

/// Each eleventh place is closed.
fn is_open(number: u32) -> bool {
    !number.is_multiple_of(11)
}

fn folded(text: &str) -> String {
    text.nfkc().collect::<String>().to_lowercase()
}

async fn stage() -> Stage {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    for number in 0..PLACES {
        let (name, at) = place(number);
        let sql = "insert into place (place_id, name, latitude, longitude, first_seen_at, changed_at, closed_at)
            values ($1, $2, $3, $4, now(), now(), case when not $5 then now() end)";
        let insert = sqlx::query(sql).bind(number.to_string()).bind(name);
        let insert = insert.bind(at.latitude()).bind(at.longitude()).bind(is_open(number));
        insert.execute(stage.pool()).await.unwrap();
    }
    stage
}

/// The open places whose name contains the text, the nearest first, with their distance.
fn expected(text: &str, at: LatLng) -> Vec<(String, f64)> {
    let part = folded(text.trim());
    let open = (0..PLACES).filter(|number| is_open(*number)).map(|number| (number, place(number)));
    let named = open.filter(|(_, (name, _))| folded(name).contains(&part));
    let mut near: Vec<_> = named.map(|(number, (_, place))| (number.to_string(), at.distance_m(place))).collect();
    near.sort_by(|a, b| a.1.total_cmp(&b.1));
    near
}

#[tokio::test]
async fn place_search_returns_exactly_the_nearest_places_whose_name_contains_the_text() {
    let stage = stage().await;
    let mut connection = stage.pool().acquire().await.unwrap();
    // Readers may have another search path.
    sqlx::query("set search_path = public").execute(&mut *connection).await.unwrap();
    let decomposed: String = "스타벅스".nfd().collect();
    let texts = [
        "스타",
        "별",
        "star",
        "ＳＴＡＲ",
        "Star'",
        "카페\\",
        "\\",
        "'",
        "&",
        "% ",
        "_",
        "카페",
        " 카페 ",
        "기 집",
        "고기집",
        "カフェ",
        "ｶﾌｪ",
        "☕",
        "없는 이름",
        "스타벅스 강남점",
        &decomposed,
        &"스타".repeat(60),
    ];
    let mut count = 0;

    for (text, (latitude, longitude), max_rows) in texts.iter().flat_map(|text| {
        POSITIONS.iter().flat_map(move |position| [1, 20, 1000].map(|max_rows| (text, *position, max_rows)))
    }) {
        let found: Vec<(String, i32)> =
            sqlx::query_as("select place_id, distance_m from sanggwond.place_search($1, $2, $3, $4)")
                .bind(text)
                .bind(latitude)
                .bind(longitude)
                .bind(max_rows)
                .fetch_all(&mut *connection)
                .await
                .unwrap();

        let mut near = expected(text, LatLng::new(latitude, longitude).unwrap());
        near.truncate(usize::try_from(max_rows).unwrap());
        let ids = near.iter().map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(found.iter().map(|(id, _)| id).collect::<Vec<_>>(), ids, "{text:?} near {latitude}, {longitude}");
        for ((_, distance_m), (_, metres)) in found.iter().zip(&near) {
            let difference = (f64::from(*distance_m) - metres.floor()).abs();
            assert!(difference <= 1.0 + metres / 20_000.0, "{distance_m} {metres}");
        }
        count += found.len();
    }

    assert!(count > 3000, "only {count} were compared");
}

#[tokio::test]
async fn place_search_refuses_invalid_arguments_with_the_reason() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let refused = async |arguments: &str| {
        let sql = format!("select count(*) from place_search({arguments})");
        let error = sqlx::raw_sql(AssertSqlSafe(sql)).execute(stage.pool()).await.unwrap_err();
        error.as_database_error().unwrap().message().to_owned()
    };

    assert!(refused("'별', 127.0, 37.5").await.contains("127, 37.5 is no position; latitude comes first"));
    assert!(refused("'별', null, 127").await.contains("null, 127 is no position"));
    assert!(refused("' ', 37.5, 127").await.contains("the text is empty"));
    assert!(refused("null, 37.5, 127").await.contains("the text is empty"));
    assert!(refused("'별', 37.5, 127, -1").await.contains("-1 rows were asked for"));
}

#[tokio::test]
async fn a_renamed_place_is_found_by_its_new_name_only() {
    let stage = stage().await;
    stage.execute("update place set name = '새 이름' where place_id = '1'").await;

    let found = "select place_id from place_search('새 이', 37.5, 127.0, 1000)";
    let former = "select place_id from place_search('스타벅스', 37.5, 127.0, 1000) where place_id = '1'";
    assert_eq!(stage.texts(found).await, ["1"]);
    assert!(stage.texts(former).await.is_empty());
}

#[tokio::test]
async fn station_search_completes_names_while_somebody_types() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    stage
        .execute(
            "insert into station (name, region, lines, latitude, longitude, retired_at) values
             ('강남역', '수도권', '{2호선,신분당선}', 37.4979, 127.0276, null), ('강남구청역', '수도권', '{7호선}', 37.517, 127.041, null),
             ('강남대역', '수도권', '{용인에버라인}', 37.27, 127.126, null), ('가락시장역', '수도권', '{3호선,8호선}', 37.49, 127.118, null),
             ('신강남역', '수도권', '{1호선,2호선,3호선}', 37.5, 127.0, null), ('강남폐역', '수도권', '{1호선}', 37.5, 127.0, now()),
             ('부산역', '부산', '{1호선}', 35.115, 129.04, null), ('KTX역', '부산', '{1호선}', 35.1, 129.0, null)",
        )
        .await;
    let found = async |text: &str| {
        let rows = sqlx::query_scalar::<_, String>("select name from sanggwond.station_search($1)").bind(text);
        rows.fetch_all(stage.pool()).await.unwrap().join(" ")
    };

    assert_eq!(found("강남").await, "강남역 강남구청역 강남대역 신강남역", "equal, then begins so, then contains");
    assert_eq!(found("강남역").await, "강남역 신강남역");
    for (unfinished, name) in
        [("갈", "가락시장역"), ("부사", "부산역"), ("붓", "부산역"), ("강냠", ""), ("(", ""), ("가.", "")]
    {
        assert_eq!(found(unfinished).await.split(' ').next().unwrap(), name, "{unfinished}");
    }
    for unfinished in ["강ㄴ", "강나", "강남"] {
        assert!(found(unfinished).await.starts_with("강남"), "{unfinished}");
    }
    assert_eq!(found("가").await, "가락시장역 강남역 강남구청역 강남대역 신강남역");
    assert_eq!(found(" ktx").await, "KTX역");
    assert_eq!(found("뷁").await, "");
    assert_eq!(
        stage.texts("select name from station_search('강', 1)").await,
        ["강남역"],
        "of those that begin so, the one with most lines comes first"
    );
}
