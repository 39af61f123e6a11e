//! Odd documents are stored, or rejected and counted. They never make a batch fail.

use insta::assert_snapshot;
use sanggwond::standin::{Fault, World};
use serde_json::{Value, json};
use sqlx::Row;

use crate::support::Stage;
use crate::support::town::place;

const STATION: &str = "서울역,수도권,37.5547,126.9707,1호선\n";

fn document(id: &str) -> Value {
    json!({
        "address_name": "서울 중구 봉래동2가 122", "category_group_code": "CE7", "category_group_name": "카페",
        "category_name": "음식점 > 카페", "distance": "0", "id": id, "phone": "02-1234-5678", "place_name": "서울커피",
        "place_url": format!("http://place.map.kakao.com/{id}"), "road_address_name": "서울 중구 한강대로 405",
        "x": "126.9707", "y": "37.5547",
    })
}

fn with(id: &str, field: &str, value: &Value) -> Value {
    let mut document = document(id);
    document[field] = value.clone();
    document
}

/// A crawl of one station and one keyword whose only page has these documents.
async fn crawl_of(documents: &[Value]) -> Stage {
    let stage = Stage::new(World::default(), STATION).await;
    let meta = json!({
        "is_end": true, "pageable_count": documents.len(), "total_count": documents.len(),
        "same_name": {"keyword": "카페", "region": [], "selected_region": ""},
    });
    stage.standin.script([Fault::Body(json!({"documents": documents, "meta": meta}).to_string())]);
    stage.program(&["crawl"]).set("SANGGWOND_CRAWL__KEYWORDS", "카페").finish().await.expect_code(0);
    stage
}

#[tokio::test]
async fn a_document_that_is_not_a_place_is_rejected_and_counted() {
    let stage = crawl_of(&[
        document("1"),
        with("2", "id", &json!("")),
        with("3", "id", &json!(null)),
        with("4", "x", &json!("")),
        with("5", "y", &json!("north")),
        with("6", "x", &json!("37.5547")),
        with("7", "y", &json!("NaN")),
        with("8", "y", &json!("126.9707")),
        json!("no document at all"),
        document("10"),
    ])
    .await;

    assert_eq!(stage.texts("select place_id from place order by 1").await, ["1", "10"]);
    assert_eq!(stage.texts("select place_id from listing order by 1").await, ["1", "10"]);
    assert_eq!(stage.value::<i64>("select documents_rejected from crawl_run").await, 8, "37° east is not near Seoul");
}

#[tokio::test]
async fn a_place_that_is_twice_in_a_batch_is_stored_once_with_its_last_content() {
    let stage = crawl_of(&[document("1"), with("1", "phone", &json!("02-999-9999")), document("2")]).await;

    assert_eq!(
        stage.texts("select place_id || ' ' || phone from place order by 1").await,
        ["1 02-999-9999", "2 02-1234-5678"]
    );
}

#[tokio::test]
async fn odd_texts_are_stored() {
    let long = "가".repeat(50_000);
    let stage = crawl_of(&[
        with("1", "place_name", &json!("널\u{0}문자")),
        with("2", "place_name", &json!("☕\u{202e}\u{1f468}\u{200d}\u{1f373}'; drop table place; --")),
        with("3", "place_name", &json!(long)),
        with("4", "phone", &json!("")),
        with("5", "road_address_name", &json!("  ")),
    ])
    .await;

    let rows = sqlx::query("select name, phone, road_address from place order by place_id")
        .fetch_all(stage.pool())
        .await
        .unwrap();
    let name = |row: usize| rows[row].get::<String, _>("name");
    assert_eq!(name(0), "널문자");
    assert_eq!(name(1), "☕\u{202e}\u{1f468}\u{200d}\u{1f373}'; drop table place; --");
    assert_eq!(name(2), "가".repeat(200));
    assert_eq!(stage.value::<i64>("select texts_cut from crawl_run").await, 1);
    assert_eq!(rows[3].get::<Option<String>, _>("phone"), None);
    assert_eq!(rows[4].get::<Option<String>, _>("road_address"), None);
}

#[tokio::test]
async fn a_changed_place_is_updated_and_a_moved_one_gets_new_listings() {
    let stations = format!("{STATION}시청역,수도권,37.5657,126.9769,1호선\n");
    let stage = Stage::new(World::new(vec![place(1, 37.5547, 126.9707, &["카페"])]), &stations).await;
    stage.crawl().await;
    let mut moved = place(1, 37.5657, 126.9769, &["카페"]);
    moved.place.phone = None;
    stage.standin.set_world(World::new(vec![moved]));

    stage.crawl().await;

    assert_eq!(stage.value::<Option<String>>("select phone from place").await, None);
    let listed = "select s.name || ' ' || l.distance_m from listing l join station s using (station_id)";
    assert_eq!(stage.texts(listed).await, ["시청역 0"]);
    let counted =
        "select format('%s new, %s changed', places_new, places_changed) from crawl_run order by crawl_run_id";
    assert_eq!(stage.texts(counted).await, ["1 new, 0 changed", "0 new, 1 changed"]);
    assert!(stage.value::<bool>("select changed_at > first_seen_at from place").await);
}

#[tokio::test]
async fn a_cell_ends_at_is_end_or_at_an_empty_page() {
    let cafes = (1..=60).map(|id| place(id, 37.5547, 126.9707, &["카페"])).collect();
    let stage = Stage::new(World::new(cafes), STATION).await;
    // 45 places can be paged to. The API never sets `is_end`, and would repeat page 3 forever.
    stage.standin.set(sanggwond::standin::Switches { never_ends: true, ..Default::default() });

    stage.program(&["crawl"]).set("SANGGWOND_CRAWL__KEYWORDS", "카페").finish().await.expect_code(0);

    assert_eq!(stage.standin.requests(), 3);
    assert_snapshot!(stage.rows("select pages, places, total_count, truncated from crawl_cell").await, @"
    pages  places  total_count  truncated
    3      45      60           true
    ");
}

#[tokio::test]
async fn an_empty_page_ends_a_cell() {
    let cafes = (1..=40).map(|id| place(id, 37.5547, 126.9707, &["카페"])).collect();
    let stage = Stage::new(World::new(cafes), STATION).await;
    let page = |count: u32, documents: &[Value]| {
        let meta = json!({"is_end": false, "pageable_count": count, "total_count": count, "same_name": null});
        Fault::Body(json!({"documents": documents, "meta": meta}).to_string())
    };
    stage.standin.script([page(40, &[document("1")]), page(40, &[])]);

    stage.program(&["crawl"]).set("SANGGWOND_CRAWL__KEYWORDS", "카페").finish().await.expect_code(0);

    assert_eq!(stage.standin.requests(), 2);
}

/// Pages of fifteen documents each, of which this many have no id.
fn pages_without_ids(pages: usize, without: usize) -> Vec<Fault> {
    let page = |page: usize| {
        let document =
            |n: usize| if n < without { with("", "id", &json!("")) } else { document(&format!("{page}{n:02}")) };
        let documents: Vec<Value> = (0..15).map(document).collect();
        let meta = json!({"is_end": true, "pageable_count": 15, "total_count": 15});
        Fault::Body(json!({"documents": documents, "meta": meta}).to_string())
    };
    (0..pages).map(page).collect()
}

#[tokio::test]
async fn too_many_rejected_documents_make_a_run_partial_without_misses() {
    let stage = Stage::new(World::default(), STATION).await;
    let crawl = || stage.program(&["crawl"]).set("SANGGWOND_CRAWL__KEYWORDS", "카페,공원");
    stage.standin.script(pages_without_ids(2, 0));
    crawl().finish().await.expect_code(0);
    let bad = || pages_without_ids(2, 14);

    stage.standin.script(bad());
    let finished = crawl().set("SANGGWOND_KAKAO__MAX_IN_FLIGHT", "1").finish().await.expect_code(3);

    let example = "place \"서울커피\": no id";
    let reason = format!("28 of 30 documents were rejected, such as {example}; no place was counted as missing");
    assert!(finished.stdout.contains(&format!("run 2 partial ({reason})")), "{}", finished.stdout);
    let row = "select concat_ws(' ', documents_rejected, rejected_example) from run_history where crawl_run_id = 2";
    assert_eq!(stage.value::<String>(row).await, format!("28 {example}"));
    let shown = stage.program(&["runs", "2"]).finish().await.expect_code(0).stdout;
    assert!(shown.contains(&reason) && shown.contains("rejected_example"), "{shown}");
    let listed = stage.program(&["runs"]).finish().await.expect_code(0).stdout;
    assert!(listed.contains("28 of 30 documents were rejected"), "{listed}");
    let report = stage.program(&["report"]).finish().await.expect_code(0).stdout;
    assert!(report.contains("28 of 30 documents were rejected"), "the report does not say so");

    stage.standin.script(bad());
    crawl().set("SANGGWOND_KAKAO__MAX_IN_FLIGHT", "1").finish().await.expect_code(3);
    assert_eq!(stage.value::<i64>("select count(*) from place_keyword where misses > 0").await, 0);
    assert_eq!(stage.value::<i64>("select count(*) from place where closed_at is not null").await, 0);
}

#[tokio::test]
async fn twenty_rejected_documents_do_not_make_a_run_partial_but_prevent_proofs() {
    let stage = Stage::new(World::default(), STATION).await;
    stage.standin.script(pages_without_ids(2, 10));

    let crawl = stage.program(&["crawl"]).set("SANGGWOND_CRAWL__KEYWORDS", "카페,공원");
    crawl.finish().await.expect_code(0);

    assert_eq!(stage.value::<i64>("select documents_rejected from crawl_run").await, 20);
    assert!(!stage.value::<bool>("select bool_or(complete) from crawl_cell").await);
}
