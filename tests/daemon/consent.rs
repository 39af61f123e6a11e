//! Consent before data is removed: what a run must not remove without confirmation, and how it is confirmed.

use crate::held::ALL_KEYWORDS;
use crate::support::Stage;
use crate::support::program::Finished;
use crate::support::town::{STATIONS, place, places};
use sanggwond::standin::World;

const ROWS: &str = "select count(*) from local_info";
const RETIRED: &str = "select query from keyword where retired_at is not null
    union all select name from station where retired_at is not null order by 1";
const LAST_RUN: &str = "select concat_ws(' ', status, reason) from crawl_run order by crawl_run_id desc limit 1";

/// A town with ten keywords, each of which finds the same 26 places around three stations.
async fn town() -> Stage {
    let keywords: Vec<&str> = ALL_KEYWORDS.split(',').collect();
    let places = places().into_iter().map(|known| {
        let position = known.place.position;
        let id = known.place.id.as_str().parse().unwrap();
        place(id, position.latitude(), position.longitude(), &keywords)
    });
    let stage = Stage::new(World::new(places.collect()), STATIONS).await;
    crawl(&stage, ALL_KEYWORDS, &[]).await.expect_code(0);
    stage
}

async fn crawl(stage: &Stage, keywords: &str, arguments: &[&str]) -> Finished {
    let program = stage.program(&[&["crawl"], arguments].concat());
    program.set("SANGGWOND_CRAWL__KEYWORDS", keywords).finish().await
}

async fn daemon(stage: &Stage, keywords: &str, run: i64) -> Finished {
    // Start the daemon 30 s after a tick, so that only this run is due, at once.
    let mut daemon = stage.daemon_from("2026-11-22 18:00:30").set("SANGGWOND_CRAWL__KEYWORDS", keywords).start();
    daemon.says(&format!("run {run} ended as")).await;
    daemon.terminate().await.expect_code(0)
}

/// Changes the history so that the last full run is a week old.
async fn a_week_later(stage: &Stage) {
    stage
        .execute(
            "update crawl_run set started_at = '2026-11-16', finished_at = '2026-11-16', heartbeat_at = '2026-11-16'",
        )
        .await;
}

#[tokio::test]
async fn a_partial_scope_run_retires_and_moves_nothing() {
    let stage = town().await;
    let listings = "select format('%s, %s, place %s, %s m', s.name, k.query, l.place_id, l.distance_m) from listing l
        join station s using (station_id) join keyword k using (keyword_id) order by 1";
    let before = stage.texts(listings).await;
    let rows: i64 = stage.value(ROWS).await;
    // Another radius, one keyword instead of ten, and a station file in which 서울역 has moved, 신촌역 is missing and 공덕역 is
    // new.
    stage.set_stations("서울역,수도권,37.5550,126.9707,1호선\n공덕역,수도권,37.5440,126.9515,5호선\n");
    let limited = |arguments: &[&str]| {
        stage
            .program(&[&["crawl"], arguments].concat())
            .set("SANGGWOND_CRAWL__KEYWORDS", "카페")
            .set("SANGGWOND_CRAWL__RADIUS_M", "500")
    };

    for arguments in
        [&["--station", "서울역"][..], &["--keyword", "카페"], &["--station", "서울역", "--keyword", "카페"]]
    {
        limited(arguments).finish().await.expect_code(0);

        assert_eq!(stage.texts(RETIRED).await, [""; 0], "{arguments:?}");
        assert_eq!(stage.value::<i64>(ROWS).await, rows, "{arguments:?}");
        assert_eq!(stage.texts(listings).await, before, "{arguments:?}");
    }
    let keyword =
        limited(&["--station", "서울역"]).set("SANGGWOND_CRAWL__KEYWORDS", "카페,노래방").finish().await.expect_code(0);

    assert!(keyword.stderr.contains("uses the stored radius of 1000 m"), "{}", keyword.stderr);
    let new = "select string_agg(query, ',') from keyword where query = '노래방' and retired_at is null";
    assert_eq!(stage.value::<String>(new).await, "노래방");
    let stations = stage.texts("select name from station where retired_at is null order by 1").await;
    assert_eq!(stations, ["공덕역", "서울역", "신촌역", "신촌역"], "--keyword needs the new station, and none goes");
}

#[tokio::test]
async fn a_manual_full_run_lists_what_it_would_retire_and_needs_the_option_retire() {
    let stage = town().await;
    let rows: i64 = stage.value(ROWS).await;
    let sent = stage.standin.requests();

    let refused = crawl(&stage, "카페", &[]).await.expect_code(2);

    let sentence = format!("9 keywords, {} of {rows} rows of local_info", rows - rows / 10);
    assert!(refused.stderr.contains(&sentence), "{sentence}: {}", refused.stderr);
    assert!(refused.stderr.contains("--retire"), "{}", refused.stderr);
    assert_eq!((stage.value::<i64>(ROWS).await, stage.standin.requests()), (rows, sent));
    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 1);

    let confirmed = crawl(&stage, "카페", &["--retire"]).await.expect_code(0);

    assert_eq!(stage.value::<i64>(ROWS).await, rows / 10);
    for keyword in ALL_KEYWORDS.split(',').filter(|keyword| *keyword != "카페") {
        assert!(confirmed.stderr.contains(&format!("keyword {keyword} is retired")), "{}", confirmed.stderr);
    }
    let recorded =
        "select format('%s keywords, %s rows', jsonb_array_length(retired -> 'keywords'), retired ->> 'rows')
        from crawl_run where crawl_run_id = 2";
    assert_eq!(stage.value::<String>(recorded).await, format!("9 keywords, {} rows", rows - rows / 10));
}

#[tokio::test]
async fn retiring_a_station_or_shrinking_the_radius_needs_confirmation() {
    let stage = town().await;

    stage.set_stations("서울역,수도권,37.5547,126.9707,1호선\n");
    let station = crawl(&stage, ALL_KEYWORDS, &[]).await.expect_code(2);
    stage.set_stations(STATIONS);
    let radius = stage.program(&["crawl"]).set("SANGGWOND_CRAWL__KEYWORDS", ALL_KEYWORDS);
    let radius = radius.set("SANGGWOND_CRAWL__RADIUS_M", "500").finish().await.expect_code(2);
    let larger = stage.program(&["crawl"]).set("SANGGWOND_CRAWL__KEYWORDS", ALL_KEYWORDS);
    let larger = larger.set("SANGGWOND_CRAWL__RADIUS_M", "2000").finish().await.expect_code(2);

    assert!(station.stderr.contains("2 stations, 210 of 260 rows of local_info: 신촌역, 신촌역"), "{}", station.stderr);
    assert!(radius.stderr.contains("the radius from 1000 m to 500 m"), "{}", radius.stderr);
    assert!(larger.stderr.contains("the radius from 1000 m to 2000 m"), "{}", larger.stderr);
    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 1);
}

#[tokio::test]
async fn a_full_run_on_a_terminal_asks_for_confirmation() {
    let stage = town().await;
    let program = || stage.program(&["crawl"]).set("SANGGWOND_CRAWL__KEYWORDS", "카페");

    let no = program().on_a_terminal("no\n").await;
    assert!(no.stdout.contains("9 keywords") && no.stdout.contains("Go on? [y/N]"), "{}", no.stdout);
    no.expect_code(1);
    assert_eq!(stage.texts(RETIRED).await, [""; 0]);

    program().on_a_terminal("y\n").await.expect_code(0);
    assert_eq!(stage.texts(RETIRED).await.len(), 9);
}

#[tokio::test]
async fn the_daemon_does_not_retire_many_rows_and_logs_how_to_confirm_it() {
    let stage = town().await;
    a_week_later(&stage).await;
    let rows: i64 = stage.value(ROWS).await;

    let daemon = daemon(&stage, "카페,노래방", 2).await;

    assert_eq!(stage.texts(RETIRED).await, [""; 0]);
    assert_eq!(stage.value::<i64>(ROWS).await, rows);
    let last: String = stage.value(LAST_RUN).await;
    assert!(last.starts_with("partial not retired without confirmation: 9 keywords, "), "{last}");
    assert!(last.contains("`sanggwond crawl --retire` confirms it"), "{last}");
    assert!(daemon.stderr.contains("not retired without confirmation"), "{}", daemon.stderr);
    assert_eq!(stage.value::<i32>("select cells_done from crawl_run where crawl_run_id = 2").await, 33, "11 keywords");

    crawl(&stage, "카페,노래방", &["--retire"]).await.expect_code(0);
    assert_eq!(stage.texts(RETIRED).await.len(), 9);
}

#[tokio::test]
async fn an_interrupted_and_resumed_run_still_reports_what_it_did_not_retire() {
    let stage = town().await;
    a_week_later(&stage).await;
    stage.standin.hold();
    let sent = stage.standin.requests();
    let daemon = stage.daemon_from("2026-11-22 18:00:30").set("SANGGWOND_CRAWL__KEYWORDS", "카페").start();
    stage.standin.reached(sent + 1).await;
    daemon.kill().await;
    stage.standin.release();

    crawl(&stage, "카페", &[]).await.expect_code(3);

    let last: String = stage.value(LAST_RUN).await;
    assert!(last.starts_with("partial not retired without confirmation: 9 keywords, "), "{last}");
}

#[tokio::test]
async fn the_daemon_retires_a_few_rows_by_itself_and_logs_their_names() {
    let stage = town().await;
    a_week_later(&stage).await;
    let rows: i64 = stage.value(ROWS).await;
    let without = ALL_KEYWORDS.replace(",셀프사진", "");

    let daemon = daemon(&stage, &without, 2).await;

    assert_eq!(stage.texts(RETIRED).await, ["셀프사진"]);
    assert_eq!(stage.value::<i64>(ROWS).await, rows - rows / 10, "a tenth is not more than a tenth");
    assert!(daemon.stderr.contains("keyword 셀프사진 is retired"), "{}", daemon.stderr);
    assert_eq!(stage.value::<String>(LAST_RUN).await, "succeeded");
}

#[tokio::test]
async fn a_smaller_radius_needs_confirmation_like_a_retirement() {
    let stage = town().await;
    a_week_later(&stage).await;
    let rows: i64 = stage.value(ROWS).await;
    let daemon = stage.daemon_from("2026-11-22 18:00:30").set("SANGGWOND_CRAWL__KEYWORDS", ALL_KEYWORDS);

    let mut daemon = daemon.set("SANGGWOND_CRAWL__RADIUS_M", "100").start();
    daemon.says("run 2 ended as partial").await;
    daemon.terminate().await.expect_code(0);

    assert_eq!(stage.value::<i64>(ROWS).await, rows);
    let last: String = stage.value(LAST_RUN).await;
    assert!(last.contains("the radius from 1000 m to 100 m"), "{last}");
    assert_eq!(stage.value::<i32>("select radius_m from crawl_run where crawl_run_id = 2").await, 1000);
}

#[tokio::test]
async fn check_predicts_what_the_next_run_adds_and_retires() {
    let stage = town().await;
    let check = async |keywords: &str, code: i32| {
        let check = stage.program(&["check"]).set("SANGGWOND_CRAWL__KEYWORDS", keywords);
        check.finish().await.expect_code(code).stdout
    };

    let same = check(ALL_KEYWORDS, 0).await;
    let added = check(&format!("{ALL_KEYWORDS},노래방"), 0).await;
    let few = check(&ALL_KEYWORDS.replace(",셀프사진", ""), 0).await;
    let many = check("카페", 1).await;

    assert!(same.contains("ok      next run: adds nothing; retires nothing"), "{same}");
    assert!(added.contains("next run: adds 1 keyword and 0 stations: 노래방; retires nothing"), "{added}");
    assert!(few.contains("retires or changes 1 keyword, 26 of 260 rows of local_info: 셀프사진"), "{few}");
    assert!(many.contains("FAILED  next run: would retire 9 keywords, 234 of 260 rows of local_info"), "{many}");
    assert!(many.contains("sanggwond crawl --retire"), "{many}");
}

#[tokio::test]
async fn a_fresh_partial_scope_run_does_not_abandon_a_full_run() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.execute("update crawl_run set status = 'interrupted', finished_at = null").await;

    stage.program(&["crawl", "--fresh", "--station", "서울역"]).finish().await.expect_code(0);

    let runs = stage.texts("select status from crawl_run order by crawl_run_id").await;
    assert_eq!(runs, ["interrupted", "succeeded"]);
}

#[tokio::test]
async fn the_option_retire_is_refused_while_a_run_is_unfinished() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.execute("update crawl_run set status = 'interrupted', finished_at = null").await;

    let refused = stage.program(&["crawl", "--retire"]).finish().await.expect_code(2);

    assert!(refused.stderr.contains("there is an unfinished run"), "{}", refused.stderr);
}
