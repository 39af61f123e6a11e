//! What the API does wrong, and what is in the tables afterwards.

use sanggwond::standin::{Fault, Switches};

use crate::support::{KEY, Stage};

/// The requests of an undisturbed crawl of the small town.
const REQUESTS: i64 = 8;

/// The places of the small town, and how often they are listed.
const ALL: (i64, i64) = (26, 49);

async fn places_and_listings(stage: &Stage) -> (i64, i64) {
    (
        stage.value("select count(*) from place").await,
        stage.value("select count(*) from listing where gone_at is null").await,
    )
}

async fn counts(stage: &Stage) -> (i64, i64, i64) {
    sqlx::query_as("select requests, retries, throttled from crawl_run").fetch_one(stage.pool()).await.unwrap()
}

#[tokio::test]
async fn an_undisturbed_crawl_sends_each_request_once() {
    let stage = Stage::small().await;

    stage.crawl().await;

    assert_eq!(counts(&stage).await, (REQUESTS, 0, 0));
    assert_eq!(places_and_listings(&stage).await, ALL);
}

#[tokio::test]
async fn every_kind_of_fault_is_repeated_once_and_costs_no_data() {
    let throttled = |after: &str| Fault::Throttled { retry_after: Some(after.to_owned()) };
    let faults = [
        (Fault::Throttled { retry_after: None }, 1),
        (throttled("0"), 1),
        (throttled("Sun, 22 Nov 2026 18:00:00 GMT"), 1),
        (Fault::Status(500, false), 0),
        (Fault::Status(502, true), 0),
        (Fault::Unavailable { retry_after: None }, 0),
        (Fault::Unavailable { retry_after: Some("0".to_owned()) }, 0),
        (Fault::CutBody, 0),
        (Fault::Empty, 0),
        (Fault::HtmlOk, 0),
        (Fault::BrokenJson, 0),
        (Fault::Hang, 0),
        (Fault::Drop, 0),
    ];
    for (fault, throttled) in faults {
        let stage = Stage::small().await;
        stage.standin.script([fault.clone()]);

        stage.program(&["crawl"]).set("SANGGWOND_KAKAO__TIMEOUT", "500ms").finish().await.expect_code(0);

        assert_eq!(counts(&stage).await, (REQUESTS + 1, 1, throttled), "{fault:?}");
        assert_eq!(places_and_listings(&stage).await, ALL, "{fault:?}");
        assert_eq!(stage.value::<String>("select status from crawl_run").await, "succeeded", "{fault:?}");
        assert_eq!(stage.standin.faults(), 1, "{fault:?} was never met");
    }
}

#[tokio::test]
async fn cells_that_fail_twice_make_a_run_partial_and_are_listed_with_their_error() {
    let stage = Stage::small().await;
    let faults_for = vec![("공원".to_owned(), Fault::Status(502, true))];
    stage.standin.set(Switches { faults_for, ..Switches::default() });

    let finished = stage.program(&["crawl"]).finish().await.expect_code(3);

    assert!(finished.stdout.contains("run 1 partial (3 cells failed twice"), "{}", finished.stdout);
    // Five attempts at each of three cells, twice; five pages of cafés.
    assert_eq!(counts(&stage).await, (30 + 5, 24, 0));
    let failures =
        stage.texts("select format('%s %s %s: %s', status, chances, attempts, error) from run_failure").await;
    assert_eq!(failures, ["failed 2 10: 502: no error message (after 5 attempts)"; 3]);
    assert_eq!(stage.value::<i64>("select count(*) from place").await, 26, "the park is a café, too");
    assert_eq!(
        stage.value::<String>("select verdict from run_history").await,
        "3 of 6 cells failed: 3 cells failed twice; run_failure says why"
    );
}

#[tokio::test]
async fn a_cell_that_fails_once_gets_its_second_chance_and_succeeds() {
    let stage = Stage::small().await;
    stage.standin.script([Fault::Status(500, false)]);

    stage.program(&["crawl"]).set("SANGGWOND_KAKAO__MAX_ATTEMPTS", "1").finish().await.expect_code(0);

    assert_eq!(counts(&stage).await, (REQUESTS + 1, 0, 0));
    assert_eq!(
        stage.texts("select format('%s %s', status, chances) from crawl_cell where chances > 0").await,
        ["done 1"]
    );
    assert_eq!(places_and_listings(&stage).await, ALL);
}

#[tokio::test]
async fn a_refused_search_fails_its_cell_without_another_attempt() {
    let stage = Stage::small().await;
    let faults_for = vec![("공원".to_owned(), Fault::Status(400, false))];
    stage.standin.set(Switches { faults_for, ..Switches::default() });

    stage.program(&["crawl"]).finish().await.expect_code(3);

    assert_eq!(counts(&stage).await.0, 5 + 3 * 2, "one request for each chance");
}

#[tokio::test]
async fn nothing_but_failures_ends_the_run_as_failed() {
    let stage = Stage::small().await;
    let stations: Vec<String> =
        (0..30).map(|n| format!("역{n},수도권,37.5,{},1호선\n", 126.0 + f64::from(n) / 10.0)).collect();
    stage.set_stations(&stations.concat());
    let faults_for = vec![("공원".to_owned(), Fault::Status(500, false)), ("카페".to_owned(), Fault::Empty)];
    stage.standin.set(Switches { faults_for, ..Switches::default() });

    let finished = stage.program(&["crawl"]).finish().await.expect_code(1);

    assert!(finished.stdout.contains("run 1 failed (nothing but failures: "), "{}", finished.stdout);
    assert!(stage.value::<i32>("select cells_pending from crawl_run").await > 0, "it went on to the end");
}

#[tokio::test]
async fn a_refused_key_ends_the_run_at_once_and_appears_nowhere() {
    let stage = Stage::small().await;
    stage.standin.set(Switches { api_key: Some("another".to_owned()), ..Switches::default() });
    let logs = stage.folder.path().join("logs");

    let finished = stage
        .program(&["crawl"])
        .set("SANGGWOND_LOG__FILTER", "trace")
        .set("SANGGWOND_LOG__DIRECTORY", logs.to_str().unwrap())
        .finish()
        .await
        .expect_code(1);

    let (status, reason, took): (String, String, f64) =
        sqlx::query_as("select status, reason, extract(epoch from finished_at - started_at)::float8 from crawl_run")
            .fetch_one(stage.pool())
            .await
            .unwrap();
    assert_eq!(status, "failed");
    assert!(reason.starts_with("the API refuses the key: 401: appKey("), "{reason}");
    assert!(took < 1.0, "{took} s");
    assert!(stage.standin.requests() <= 5, "{} requests", stage.standin.requests());
    let rows: String = stage.value("select schema_to_xml('sanggwond', true, false, '')::text").await;
    assert!(rows.contains("the API refuses the key"), "the rows were not read");
    let files = std::fs::read_dir(&logs).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let files = files.collect::<String>();
    assert!(files.contains("run 1 ended as failed"), "the log files were not read");
    for (what, text) in [("stdout", finished.stdout), ("stderr", finished.stderr), ("rows", rows), ("logs", files)] {
        assert!(!text.contains(KEY), "the key is in {what}");
    }
}

#[tokio::test]
async fn a_lost_permission_ends_the_run_in_the_words_of_the_api() {
    let stage = Stage::small().await;
    stage.standin.set(Switches { is_disabled: true, ..Switches::default() });

    stage.program(&["crawl"]).finish().await.expect_code(1);

    let reason: String = stage.value("select reason from crawl_run").await;
    assert!(reason.contains("403") && reason.contains("OPEN_MAP_AND_LOCAL"), "{reason}");
}

#[tokio::test]
async fn a_spent_quota_interrupts_the_run_until_midnight_in_seoul() {
    for quota_as_code in [true, false] {
        let stage = Stage::small().await;
        stage.standin.set(Switches { daily_quota: Some(4), quota_as_code, ..Switches::default() });

        // The API's quota where it says so; our own where it only says 429.
        let own = if quota_as_code { "100" } else { "4" };
        let finished = stage.program(&["crawl"]).set("SANGGWOND_KAKAO__DAILY_QUOTA", own).finish().await.expect_code(4);

        assert!(finished.stdout.contains("run 1 interrupted (the quota is spent: "), "{}", finished.stdout);
        let resumes: String =
            stage.value("select to_char(resume_at at time zone 'Asia/Seoul', 'HH24:MI:SS') from crawl_run").await;
        assert_eq!(resumes, "00:00:00");
        let done: i32 = stage.value("select cells_done from crawl_run").await;
        assert!((1..=4).contains(&done), "{done} cells done");

        stage.standin.new_day();
        stage.standin.set(Switches::default());
        stage.crawl().await;

        assert_eq!(places_and_listings(&stage).await, ALL);
        assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 1, "it went on with the same run");
    }
}

#[tokio::test]
async fn the_requests_of_the_day_are_counted() {
    let stage = Stage::small().await;

    stage.crawl().await;
    stage.crawl().await;

    assert_eq!(stage.value::<i32>("select requests from api_usage").await, 16);
}
