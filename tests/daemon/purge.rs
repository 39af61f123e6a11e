//! `purge`: places that no run has seen for long are deleted, and nothing else.

use nix::sys::signal::Signal;

use crate::support::Stage;

/// Runs 2, 3 and 4 ended 100, 60 and 10 days ago. Run 1 has been deleted from the history.
const HISTORY: &str = "
    update crawl_run set started_at = now() - interval '100 days', finished_at = now() - interval '100 days' where crawl_run_id = 2;
    update crawl_run set started_at = now() - interval '60 days', finished_at = now() - interval '60 days' where crawl_run_id = 3;
    update crawl_run set started_at = now() - interval '10 days', finished_at = now() - interval '10 days' where crawl_run_id = 4;
    delete from crawl_run where crawl_run_id = 1";

/// The run that saw each place last: 1, 2 or 3; one place that a search by name confirmed later; one that another
/// keyword saw later.
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

/// Purges with `--yes`, and returns the output.
async fn purge(stage: &Stage, arguments: &[&str]) -> String {
    let consent: &[&str] = if arguments.contains(&"--dry-run") { &[] } else { &["--yes"] };
    stage.program(&[&["purge"], consent, arguments].concat()).finish().await.expect_code(0).stdout
}

/// Expects a purge to be refused, and returns the message.
async fn refused(stage: &Stage, arguments: &[&str]) -> String {
    stage.program(&[&["purge"], arguments].concat()).finish().await.expect_code(2).stderr
}

async fn places(stage: &Stage) -> i64 {
    stage.value("select count(*) from place").await
}

#[tokio::test]
async fn places_not_seen_for_the_given_time_are_deleted_with_their_changes() {
    let stage = stage().await;

    assert_eq!(purge(&stage, &["--not-seen-for", "90d", "--dry-run"]).await, "5 of 26 places would be deleted\n");
    assert_eq!(places(&stage).await, 26);
    assert_eq!(purge(&stage, &["--not-seen-for", "90d", "--all"]).await, "5 places deleted\n");

    assert_eq!(places(&stage).await, 21);
    let left = "select count(*) from place where place_id in ('1', '2', '3', '4', '5')";
    assert_eq!(stage.value::<i64>(left).await, 0);
    let told = "select concat_ws(' ', place_id, kind, before, after, latitude, crawl_run_id) from place_change order by place_id";
    assert_eq!(
        stage.texts(told).await,
        ["1 purged", "2 purged", "3 purged", "4 purged", "5 purged", "8 reopened 37.5 2"],
        "those who follow the changes learn of it, without content"
    );
    let shown = stage.program(&["changes", "--since", "1d", "--kind", "purged"]).finish().await.expect_code(0).stdout;
    assert_eq!(shown.matches("deleted by `sanggwond purge`").count(), 5, "{shown}");
    let strays = "select (select count(*) from listing left join place using (place_id) where name is null)
        + (select count(*) from place_keyword left join place using (place_id) where name is null)";
    assert_eq!(stage.value::<i64>(strays).await, 0);
    assert_eq!(purge(&stage, &["--not-seen-for", "200d"]).await, "0 places deleted\n");
    assert_eq!(purge(&stage, &["--not-seen-for", "30d"]).await, "1 place deleted\n", "run 3 ended 60 days ago");
}

#[tokio::test]
async fn a_place_of_a_deleted_run_is_as_old_as_the_next_stored_run() {
    let stage = stage().await;
    stage.execute("delete from crawl_run where crawl_run_id in (2, 3)").await;

    assert_eq!(
        purge(&stage, &["--not-seen-for", "90d"]).await,
        "0 places deleted\n",
        "nothing tells that it is so old"
    );
    assert_eq!(purge(&stage, &["--not-seen-for", "9d", "--dry-run"]).await, "26 of 26 places would be deleted\n");
}

#[tokio::test]
async fn a_run_with_a_wrong_clock_does_not_determine_the_age_of_a_place() {
    let stage = stage().await;
    stage.execute("update place_keyword set last_seen_run = 4, confirmed_run = null").await;
    let would = async || purge(&stage, &["--not-seen-for", "90d", "--all", "--dry-run"]).await;
    stage.execute("update crawl_run set finished_at = now() - interval '100 days' where crawl_run_id in (3, 4)").await;
    assert_eq!(would().await, "26 of 26 places would be deleted\n", "a clock that was right");

    // Wrong clocks: the Unix epoch, a board without a battery, the year before this program existed, and earlier
    // centuries.
    for instant in ["epoch", "1986-01-01", "2025-12-31 23:59:59+00", "-infinity", "1899-12-31"] {
        set_end(&stage, 4, instant).await;
        assert_eq!(would().await, "0 of 26 places would be deleted\n", "{instant}");
    }
    // A plausible time, but earlier than the end of the previous run.
    stage.execute("update crawl_run set finished_at = now() - interval '10 days' where crawl_run_id = 3").await;
    stage.execute("update crawl_run set finished_at = now() - interval '100 days' where crawl_run_id = 4").await;
    assert_eq!(would().await, "0 of 26 places would be deleted\n", "run 3 ended 10 days ago");
    // The end of run 3 lies in the future, so it is not used to judge run 4.
    set_end(&stage, 3, "2099-01-01").await;
    assert_eq!(would().await, "26 of 26 places would be deleted\n");
    set_end(&stage, 4, "2099-01-01").await;
    assert_eq!(would().await, "0 of 26 places would be deleted\n");
}

async fn set_end(stage: &Stage, run: i64, instant: &str) {
    let sql = "update crawl_run set finished_at = $2::timestamptz where crawl_run_id = $1";
    sqlx::query(sql).bind(run).bind(instant).execute(stage.pool()).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_years_off_deletes_nothing() {
    let stage = stage().await;

    for instant in ["2036-11-26 00:00:00", "1986-01-01 00:00:00"] {
        let arguments = ["purge", "--not-seen-for", "200d", "--all", "--yes"];
        let purged = stage.program_at(instant, &arguments).finish().await.expect_code(0);
        assert_eq!(purged.stdout, "0 places deleted\n", "{instant}");
    }
    assert_eq!(places(&stage).await, 26);
}

#[tokio::test]
async fn what_comes_back_after_a_purge_of_old_places_has_not_opened() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let ago = "now() - interval '100 days'";
    stage.execute(&format!("update crawl_run set started_at = {ago}, finished_at = {ago}, heartbeat_at = {ago}")).await;
    assert_eq!(purge(&stage, &["--not-seen-for", "90d", "--all"]).await, "26 places deleted\n");

    stage.crawl().await;

    assert_eq!(places(&stage).await, 26);
    assert_eq!(stage.value::<i64>("select count(*) from place_change where kind = 'opened'").await, 0);
}

#[tokio::test]
async fn a_run_after_a_purge_of_all_places_counts_as_the_first() {
    let stage = stage().await;
    stage.execute("update crawl_run set status = 'interrupted', finished_at = null where crawl_run_id = 4").await;

    assert_eq!(purge(&stage, &["--all", "--dry-run"]).await, "26 of 26 places would be deleted\n");
    assert_eq!(purge(&stage, &["--all"]).await, "26 places deleted\n");

    let left =
        "select (select count(*) from place) + (select count(*) from place_keyword) + (select count(*) from listing)
        + (select count(*) from place_change where kind <> 'purged') + (select count(*) from station_keyword)";
    assert_eq!(stage.value::<i64>(left).await, 0);
    assert_eq!(stage.value::<i64>("select count(*) from place_change where kind = 'purged'").await, 26);
    let unfinished = "select status || ': ' || reason from crawl_run where crawl_run_id = 4";
    assert_eq!(stage.value::<String>(unfinished).await, "failed: abandoned by hand: purge --all");
    stage.crawl().await;
    assert_eq!(places(&stage).await, 26);
    let opened = "select count(*) from place_change where kind <> 'purged'";
    assert_eq!(stage.value::<i64>(opened).await, 0, "what comes back has not opened");
}

#[tokio::test]
async fn nothing_is_deleted_during_a_run() {
    let stage = stage().await;
    let sent = stage.standin.requests();
    stage.standin.hold();
    let crawl = stage.program(&["crawl"]).start();
    stage.standin.reached(sent + 5).await;

    let refused = stage.program(&["purge", "--all"]).finish().await.expect_code(1);

    assert!(refused.stderr.contains("another process holds the run lock of this database"), "{}", refused.stderr);
    stage.standin.release();
    crawl.finish().await.expect_code(0);
    assert_eq!(places(&stage).await, 26);
}

#[tokio::test]
async fn a_signal_stops_a_purge_that_counts_and_lets_one_that_deletes_finish() {
    let stage = stage().await;
    let start = || stage.program(&["purge", "--not-seen-for", "90d", "--all", "--yes"]).start();

    let mut holder = stage.pool().begin().await.unwrap();
    sqlx::raw_sql("lock table place_keyword in access exclusive mode").execute(&mut *holder).await.unwrap();
    let counting = start();
    stage.blocked_by_a_lock().await;
    counting.terminate().await.expect_code(4);
    holder.rollback().await.unwrap();
    // Its session outlives it, and must not be taken for that of the next one.
    let sessions = "select not exists (select from pg_stat_activity
        where datname = current_database() and application_name = 'sanggwond')";
    stage.becomes_true(sessions).await;
    assert_eq!(places(&stage).await, 26);

    let mut holder = stage.pool().begin().await.unwrap();
    sqlx::raw_sql("lock table place_change in access exclusive mode").execute(&mut *holder).await.unwrap();
    let deleting = start();
    stage.blocked_by_a_lock().await;
    deleting.signal(Signal::SIGTERM);
    // Longer than the 2 s that a command that only reads gets to stop.
    sqlx::query("select pg_sleep(2.5)").execute(&mut *holder).await.unwrap();
    holder.rollback().await.unwrap();
    let deleted = deleting.finish().await.expect_code(0);

    assert_eq!(deleted.stdout, "5 places deleted\n");
    assert_eq!(places(&stage).await, 21);
}

#[tokio::test]
async fn more_than_a_tenth_of_all_places_is_deleted_only_with_all_and_nothing_without_consent() {
    let stage = stage().await;

    let many = refused(&stage, &["--not-seen-for", "1m", "--yes"]).await;
    assert!(many.contains("26 of 26 places would be deleted, which is more than 10 %"), "{many}");
    assert!(many.contains("Add --all"), "{many}");
    let unasked = refused(&stage, &["--not-seen-for", "90d", "--all"]).await;
    assert!(unasked.contains("5 of 26 places would be deleted; nothing was deleted. Add --yes"), "{unasked}");
    let everything = refused(&stage, &["--all"]).await;
    assert!(everything.contains("Add --yes"), "{everything}");

    assert_eq!(places(&stage).await, 26);
    assert_eq!(stage.value::<i64>("select count(*) from place_change where kind = 'purged'").await, 0);
}

#[tokio::test]
async fn on_a_terminal_only_the_answer_yes_deletes() {
    let stage = stage().await;

    for (answer, code, left) in [("n\n", 1, 26), ("\n", 1, 26), ("yes\n", 0, 21)] {
        let shown = stage.program(&["purge", "--not-seen-for", "90d", "--all"]).on_a_terminal(answer).await;

        assert!(
            shown.stdout.contains("Permanently delete 5 of 26 places with their history? [y/N]"),
            "{}",
            shown.stdout
        );
        shown.expect_code(code);
        assert_eq!(places(&stage).await, left, "{answer:?}");
    }
}
