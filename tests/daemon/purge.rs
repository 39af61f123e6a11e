//! `purge`: what no run has seen for long is deleted, and nothing else.

use crate::support::Stage;

/// Runs that ended 10, 60 and 100 days ago, as the runs 1 to 4: run 1 is forgotten.
const HISTORY: &str = "
    update crawl_run set started_at = now() - interval '100 days', finished_at = now() - interval '100 days' where crawl_run_id = 2;
    update crawl_run set started_at = now() - interval '60 days', finished_at = now() - interval '60 days' where crawl_run_id = 3;
    update crawl_run set started_at = now() - interval '10 days', finished_at = now() - interval '10 days' where crawl_run_id = 4;
    delete from crawl_run where crawl_run_id = 1";

/// Which run saw the places last: 1, 2, 3; one that a name search confirmed later; one that another keyword saw later.
const SEEN: &str = "
    update place_keyword set last_seen_run = 4;
    update place_keyword set last_seen_run = 1 where place_id in ('1', '2');
    update place_keyword set last_seen_run = 2 where place_id in ('3', '4', '5');
    update place_keyword set last_seen_run = 3 where place_id = '6';
    update place_keyword set last_seen_run = 2, confirmed_run = 4 where place_id = '7';
    update place_keyword set last_seen_run = 2 where place_id = '21' and keyword_id = 1;
    insert into place_change (place_id, crawl_run_id, kind, latitude, longitude, not_after, recorded_at)
    values ('3', 2, 'reopened', 37.5, 127, now(), now()), ('8', 2, 'reopened', 37.5, 127, now(), now())";

async fn stage() -> Stage {
    let stage = Stage::small().await;
    for _ in 1..=4 {
        stage.crawl().await;
    }
    stage.execute(HISTORY).await;
    stage.execute(SEEN).await;
    stage
}

async fn purge(stage: &Stage, arguments: &[&str]) -> String {
    stage.program(&[&["purge"], arguments].concat()).finish().await.expect_code(0).stdout
}

async fn places(stage: &Stage) -> i64 {
    stage.value("select count(*) from place").await
}

#[tokio::test]
async fn what_no_run_has_seen_for_so_long_is_deleted_with_all_that_tells_of_it() {
    let stage = stage().await;

    assert_eq!(purge(&stage, &["--not-seen-for", "90d", "--dry-run"]).await, "5 places would be deleted\n");
    assert_eq!(places(&stage).await, 26);
    assert_eq!(purge(&stage, &["--not-seen-for", "90d"]).await, "5 places deleted\n");

    assert_eq!(places(&stage).await, 21);
    let left = "select count(*) from place where place_id in ('1', '2', '3', '4', '5')";
    assert_eq!(stage.value::<i64>(left).await, 0);
    assert_eq!(stage.texts("select place_id from place_change").await, ["8"]);
    let strays = "select (select count(*) from listing left join place using (place_id) where name is null)
        + (select count(*) from place_keyword left join place using (place_id) where name is null)";
    assert_eq!(stage.value::<i64>(strays).await, 0);
    assert_eq!(purge(&stage, &["--not-seen-for", "200d"]).await, "0 places deleted\n");
    assert_eq!(purge(&stage, &["--not-seen-for", "30d"]).await, "1 place deleted\n", "run 3 ended 60 days ago");
}

#[tokio::test]
async fn a_forgotten_run_is_as_old_as_the_next_one_that_is_kept() {
    let stage = stage().await;
    stage.execute("delete from crawl_run where crawl_run_id in (2, 3)").await;

    assert_eq!(
        purge(&stage, &["--not-seen-for", "90d"]).await,
        "0 places deleted\n",
        "nothing tells that it is so old"
    );
    assert_eq!(purge(&stage, &["--not-seen-for", "9d", "--dry-run"]).await, "26 places would be deleted\n");
}

#[tokio::test]
async fn purging_all_begins_anew() {
    let stage = stage().await;
    stage.execute("update crawl_run set status = 'interrupted', finished_at = null where crawl_run_id = 4").await;

    assert_eq!(purge(&stage, &["--all", "--dry-run"]).await, "26 places would be deleted\n");
    assert_eq!(purge(&stage, &["--all"]).await, "26 places deleted\n");

    let left =
        "select (select count(*) from place) + (select count(*) from place_keyword) + (select count(*) from listing)
        + (select count(*) from place_change) + (select count(*) from station_keyword)";
    assert_eq!(stage.value::<i64>(left).await, 0);
    let unfinished = "select status || ': ' || reason from crawl_run where crawl_run_id = 4";
    assert_eq!(stage.value::<String>(unfinished).await, "failed: given up by hand: purge --all");
    stage.crawl().await;
    assert_eq!(places(&stage).await, 26);
    let opened = "select count(*) from place_change";
    assert_eq!(stage.value::<i64>(opened).await, 0, "what comes back has not opened");
}

#[tokio::test]
async fn nothing_is_deleted_under_a_run() {
    let stage = stage().await;
    let sent = stage.standin.requests();
    stage.standin.hold();
    let crawl = stage.program(&["crawl"]).start();
    stage.standin.reached(sent + 5).await;

    let refused = stage.program(&["purge", "--all"]).finish().await.expect_code(1);

    assert!(refused.stderr.contains("another process is at work on this database"), "{}", refused.stderr);
    stage.standin.release();
    crawl.finish().await.expect_code(0);
    assert_eq!(places(&stage).await, 26);
}
