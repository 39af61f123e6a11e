//! `runs <id>`, `runs --failed` and `changes`: the output for people and for programs.

use serde_json::Value;

use crate::support::Stage;

/// Changes of four places of the small town, as a run writes them.
const CHANGES: &str = r#"
    insert into place_change (place_id, crawl_run_id, kind, before, after, latitude, longitude, not_before, not_after, recorded_at)
    values
    ('1', 1, 'opened', null, '{"name": "가게 1", "road_address": "서울 서대문구 신촌로 1"}', 37.5553, 126.937,
        now() - interval '8 days', now() - interval '1 day', now() - interval '1 day'),
    ('2', 1, 'changed', '{"phone": "02-000-0002", "url": null}', '{"phone": "02-111-1111", "url": "http://x/\"2\""}', 37.5554, 126.937,
        null, now() - interval '2 days', now() - interval '2 days'),
    ('31', 1, 'closed', '{"name": "가게 31"}', null, 37.5547, 126.97, now(), now(), now() - interval '3 days'),
    ('21', 1, 'reopened', null, null, 37.5577, 126.94, now(), now(), now() - interval '30 days')"#;

async fn stage() -> Stage {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.execute(CHANGES).await;
    stage
}

/// The ids of the places whose changes are shown.
async fn shown(stage: &Stage, arguments: &[&str]) -> Vec<String> {
    let arguments = [&["changes", "--format", "json"], arguments].concat();
    let rows: Value = serde_json::from_str(&stage.program(&arguments).finish().await.expect_code(0).stdout).unwrap();
    rows.as_array().unwrap().iter().map(|row| row["place_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn changes_are_shown_newest_first_and_filtered_by_the_options() {
    let stage = stage().await;

    assert_eq!(shown(&stage, &[]).await, ["1", "2", "31"], "of seven days");
    assert_eq!(shown(&stage, &["--since", "2020-01-01"]).await, ["1", "2", "31", "21"]);
    assert_eq!(shown(&stage, &["--since", "60h"]).await, ["1", "2"]);
    assert_eq!(shown(&stage, &["--since", "2999-01-01T00:00:00Z"]).await, Vec::<String>::new());
    assert_eq!(shown(&stage, &["--limit", "1"]).await, ["1"]);
    assert_eq!(shown(&stage, &["--kind", "closed", "--kind", "changed"]).await, ["2", "31"]);
    assert_eq!(shown(&stage, &["--station", "서울"]).await, ["31"]);
    assert_eq!(shown(&stage, &["--since", "90d", "--keyword", "공원"]).await, ["21"]);
    assert_eq!(
        shown(&stage, &["--since", "90d", "--keyword", "공원", "--station", "서울역"]).await,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_change_shows_the_fields_that_differ() {
    let stage = stage().await;

    let text = stage.program(&["changes"]).finish().await.expect_code(0).stdout;
    let csv = stage.program(&["changes", "--format", "csv"]).finish().await.expect_code(0).stdout;
    let none = stage.program(&["changes", "--since", "1s"]).finish().await.expect_code(0).stdout;

    assert!(text.contains("opened    가게 1 (1): 서울 서대문구 신촌로 1 ["), "{text}");
    assert!(text.contains("가게 2 (2): phone: 02-000-0002 → 02-111-1111, url: – → http://x/\"2\" [… to 20"), "{text}");
    assert!(none.starts_with("no changes since 20"), "{none}");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!((rows.len(), &rows[0][3], &rows[0][4]), (3, "1", "가게 1"));
    assert_eq!(serde_json::from_str::<Value>(&rows[1][7]).unwrap()["url"], "http://x/\"2\"");
}

#[tokio::test]
async fn a_move_is_shown_in_metres_and_stored_in_degrees() {
    let stage = stage().await;
    stage
        .execute(
            r#"insert into place_change (place_id, crawl_run_id, kind, before, after, latitude, longitude, not_after, recorded_at)
             values
             ('3', 1, 'changed', '{"latitude": 37.555500000000002}', '{"latitude": 37.555878}', 37.555878, 126.937, now(), now()),
             ('4', 1, 'changed', '{"longitude": 126.937, "phone": "1"}', '{"longitude": 126.937002, "phone": "2"}', 37.5556, 126.937002,
                 now(), now()),
             ('5', 1, 'changed', '{"latitude": 37.5, "longitude": 127.0}', '{"latitude": 37.6, "longitude": 127.1}', 37.6, 127.1,
                 now(), now())"#,
        )
        .await;

    let text = stage.program(&["changes"]).finish().await.expect_code(0).stdout;
    let json = stage.program(&["changes", "--format", "json"]).finish().await.expect_code(0).stdout;

    assert!(text.contains("가게 3 (3): moved 42 m ["), "{text}");
    assert!(text.contains("가게 4 (4): moved less than 1 m, phone: 1 → 2 ["), "{text}");
    assert!(text.contains("가게 5 (5): moved 14.2 km ["), "{text}");
    let rows: Value = serde_json::from_str(&json).unwrap();
    let moved = rows.as_array().unwrap().iter().find(|row| row["place_id"] == "3").unwrap();
    assert_eq!((&moved["before"]["latitude"], &moved["latitude"]), (&37.5555.into(), &37.555_878.into()));
}

#[tokio::test]
async fn invalid_arguments_of_the_reading_commands_are_refused_with_the_reason() {
    let stage = stage().await;

    for (arguments, code, words) in [
        (&["changes", "--since", "yesterday"][..], 2, "write a duration such as 7d"),
        (&["changes", "--station", "울"], 2, "did you mean 서울역?"),
        (&["changes", "--keyword", "술집"], 2, "the keywords are 카페, 공원"),
        (&["export", "--format", "csv", "--station", "울"], 2, "did you mean 서울역?"),
        (&["export", "--format", "text"], 2, "geojson"),
        (&["crawl", "--format", "csv"], 2, "possible values: text, json"),
        (&["runs", "7"], 1, "there is no run 7; `sanggwond runs` shows those that are kept"),
        (&["runs", "1", "--format", "csv"], 2, "one run in full is not a table"),
        (&["runs", "1", "--failed"], 2, "cannot be used with"),
        (&["purge"], 2, "--not-seen-for"),
        (&["purge", "--all", "--yes", "--dry-run"], 2, "cannot be used with"),
        (&["purge", "--not-seen-for", "soon"], 2, "soon"),
    ] {
        let finished = stage.program(arguments).finish().await.expect_code(code);
        assert!(finished.stderr.contains(words), "{arguments:?}: {}", finished.stderr);
    }
    assert_eq!(stage.value::<i64>("select count(*) from place").await, 26);
}

#[tokio::test]
async fn one_run_is_shown_in_full_with_its_failed_cells() {
    let stage = stage().await;
    stage
        .execute(
            "update crawl_cell set status = 'failed', failures = 2, error = 'no answer' where cell_no = 2;
             update crawl_cell set failures = 1, attempts = 6, error = '503' where cell_no in (1, 3);
             update crawl_run set status = 'partial', cells_done = 5, cells_failed = 1, reason = '1 cell failed twice'",
        )
        .await;

    let text = stage.program(&["runs", "1"]).finish().await.expect_code(0).stdout;
    let json = stage.program(&["runs", "1", "--format", "json"]).finish().await.expect_code(0).stdout;

    for words in [
        "1 of 6 cells failed: 1 cell failed twice",
        "places_reopened",
        "\nradius_m                      1000",
        "\n1 cell failed:\ncell 2  ",
        "1000 m: failed after 1 request: no answer",
        "\n2 cells failed once and recovered:\ncell 1  ",
        "1000 m: recovered after 6 requests: 503",
        " Seoul\n",
    ] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    let columns = stage
        .texts("select attname::text from pg_attribute where attrelid = 'crawl_run'::regclass and attnum > 0")
        .await;
    for column in columns.iter().filter(|column| *column != "settings") {
        assert!(text.lines().any(|line| line.split(' ').next() == Some(column)), "{column} is not in {text}");
    }
    let run: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&run["crawl_run_id"], &run["radius_m"]), (&1.into(), &1000.into()));
    let cells = |key: &str| run[key].as_array().unwrap().iter().map(|cell| cell["cell_no"].clone()).collect::<Vec<_>>();
    assert_eq!((cells("failed_cells"), cells("pending_cells")), (vec![2.into()], vec![]));
    assert_eq!(cells("recovered_cells"), [1, 3]);
    assert_eq!(run["failed_cells"][0]["error"], "no answer");
}

#[tokio::test]
async fn unsuccessful_runs_can_be_listed_alone_and_as_csv() {
    let stage = stage().await;
    stage.crawl().await;
    let runs = async |arguments: &[&str]| {
        let arguments = [&["runs", "--format", "csv"], arguments].concat();
        let csv = stage.program(&arguments).finish().await.expect_code(0).stdout;
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        assert_eq!(reader.headers().unwrap().iter().next_back(), Some("cost_won"));
        reader.records().map(|row| row.unwrap()[0].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(runs(&["--failed"]).await, Vec::<String>::new());
    assert_eq!(runs(&["--limit", "1"]).await, ["2"]);

    stage.execute("update crawl_run set status = 'failed', reason = 'so, \"so\"' where crawl_run_id = 1").await;

    assert_eq!(runs(&["--failed"]).await, ["1"]);
    assert_eq!(runs(&[]).await, ["2", "1"]);
}
