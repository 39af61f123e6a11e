//! Faults of the API, and what the tables contain afterwards.

use insta::assert_snapshot;
use sanggwond::standin::{Fault, Switches};

use crate::support::front::Front;
use crate::support::town::scattered;
use crate::support::{KEY, Stage};

/// Number of requests of a crawl of the small town without faults.
const REQUESTS: i64 = 8;

/// Number of places and of listings in the small town.
pub(crate) const ALL: (i64, i64) = (26, 49);

pub(crate) async fn places_and_listings(stage: &Stage) -> (i64, i64) {
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
async fn a_request_is_repeated_after_each_kind_of_fault_without_loss_of_data() {
    survives_each_fault(async |_| None).await;
}

/// A crawl survives each kind of fault. `front` may put a server in front of the stand-in.
pub(crate) async fn survives_each_fault(front: impl AsyncFn(&Stage) -> Option<Front>) {
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

        let front = front(&stage).await;
        let crawl = front.as_ref().map_or_else(|| stage.program(&["crawl"]), |front| front.program(&stage, &["crawl"]));
        // Only this fault needs a short limit, which a busy machine may exceed.
        let timeout = if matches!(fault, Fault::Hang) { "2s" } else { "10s" };
        crawl.set("SANGGWOND_KAKAO__TIMEOUT", timeout).finish().await.expect_code(0);

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
    // Five attempts at each of three cells, twice; five pages of cafés. Sometimes a page that was answered well is
    // requested again, to see whether the API works, and a broken answer then costs its cell no attempt.
    let (requests, retries, _) = counts(&stage).await;
    assert!((24..=24 + 8).contains(&retries), "{retries} retries");
    assert!((30 + 5..=30 + 5 + 16).contains(&requests), "{requests} requests");
    let failures = stage.texts("select format('%s %s: %s', status, failures, error) from run_failure").await;
    assert_eq!(failures, ["failed 2: 502: no error message (after 5 failures)"; 3]);
    assert_eq!(stage.value::<i64>("select count(*) from place").await, 26, "the park is a café, too");
    assert_eq!(
        stage.value::<String>("select verdict from run_history").await,
        "3 of 6 cells failed: 3 cells failed twice; see the view run_failure"
    );
}

#[tokio::test]
async fn a_cell_that_fails_once_is_searched_again_and_succeeds() {
    let stage = Stage::small().await;
    stage.standin.script([Fault::Status(500, false)]);

    stage.program(&["crawl"]).set("SANGGWOND_KAKAO__MAX_ATTEMPTS", "1").finish().await.expect_code(0);

    assert_eq!(counts(&stage).await, (REQUESTS + 1, 0, 0));
    assert_snapshot!(stage.rows("select status, failures from crawl_cell where failures > 0").await, @"
    status  failures
    done    1
    ");
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
async fn a_run_fails_if_the_api_refuses_every_search_as_invalid() {
    let stage = Stage::small().await;
    stage.set_stations(&scattered(15));
    let faults_for = ["공원", "카페"].map(|keyword| (keyword.to_owned(), Fault::Status(400, false)));
    stage.standin.set(Switches { faults_for: faults_for.into(), ..Switches::default() });

    let finished = stage.program(&["crawl"]).finish().await.expect_code(1);

    let reason =
        "run 1 failed (the API rejected too many consecutive searches as invalid: 400: size should be at most 15)";
    assert!(finished.stdout.contains(reason), "{}", finished.stdout);
    assert!(stage.value::<i32>("select cells_pending from crawl_run").await > 0, "it went on to the end");
}

#[tokio::test]
async fn a_refused_key_ends_the_run_immediately_and_is_never_shown() {
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

    let (status, reason, retries): (String, String, i64) =
        sqlx::query_as("select status, reason, retries from crawl_run").fetch_one(stage.pool()).await.unwrap();
    assert_eq!(status, "failed");
    assert!(reason.starts_with("the API refuses the key: 401: appKey("), "{reason}");
    // Without a retry: each of the five requests that may be in flight was sent once.
    assert_eq!(retries, 0);
    assert!(stage.standin.requests() <= 5, "{} requests", stage.standin.requests());
    let rows = stage.everything_stored().await;
    assert!(rows.contains("the API refuses the key"), "the rows were not read");
    let files = std::fs::read_dir(&logs).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let files = files.collect::<String>();
    assert!(files.contains("run 1 ended as failed"), "the log files were not read");
    for (what, text) in [("stdout", finished.stdout), ("stderr", finished.stderr), ("rows", rows), ("logs", files)] {
        assert!(!text.contains(KEY), "the key is in {what}");
    }
}

#[tokio::test]
async fn a_revoked_permission_ends_the_run_with_the_message_of_the_api() {
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

        // With the code, the API reports its quota. Without it, the API answers only 429, so the configured quota must
        // match.
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
