//! What requests cost, and the quota of the month that keeps a budget.

use serde_json::Value;

use crate::support::Stage;
use crate::support::program::Program;

/// A command with a price of 2.5 won a request.
fn priced(stage: &Stage, arguments: &[&str]) -> Program {
    stage.program(arguments).set("SANGGWOND_KAKAO__PRICE_WON", "2.5")
}

#[tokio::test]
async fn the_history_shows_what_each_run_and_the_month_cost() {
    let stage = Stage::small().await;
    stage.crawl().await;

    let list = priced(&stage, &["runs"]).finish().await.expect_code(0).stdout;
    let one = priced(&stage, &["runs", "1"]).finish().await.expect_code(0).stdout;
    let json = priced(&stage, &["runs", "--format", "json"]).finish().await.expect_code(0).stdout;
    let one_json = priced(&stage, &["runs", "1", "--format", "json"]).finish().await.expect_code(0).stdout;
    let csv = priced(&stage, &["runs", "--format", "csv"]).finish().await.expect_code(0).stdout;

    assert!(list.contains("8 (20 won)") && list.ends_with("this month: 8 requests, 20 won\n"), "{list}");
    assert!(one.lines().any(|line| line.starts_with("cost ") && line.ends_with("  20 won")), "{one}");
    for json in [json, one_json] {
        let rows: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(rows.get(0).unwrap_or(&rows)["cost_won"], 20.0, "{json}");
    }
    assert!(csv.lines().next().unwrap().ends_with(",cost_won") && csv.trim_end().ends_with(",20.0"), "{csv}");
}

#[tokio::test]
async fn the_costs_of_the_next_runs_are_estimated_from_the_last_one() {
    let stage = Stage::small().await;
    let before = priced(&stage, &["next"]).finish().await.expect_code(0).stdout;
    stage.crawl().await;

    let next = priced(&stage, &["next"]).finish().await.expect_code(0).stdout;
    let each_second = priced(&stage, &["next"]).set("SANGGWOND_SCHEDULE__CRON", "* * * * * *");
    let each_second = each_second.finish().await.expect_code(0).stdout;
    let check = priced(&stage, &["check"]).finish().await.expect_code(0).stdout;

    assert!(!before.contains("won"), "there is no run yet: {before}");
    let mondays = next.lines().last().unwrap();
    let estimate = "a full run sends about 8 requests, 20 won, as the last one did; ";
    assert!(
        mondays.starts_with(estimate) && mondays.ends_with(" runs in 30 days: 80 won")
            || mondays.ends_with(": 100 won")
    );
    assert!(each_second.contains("at least 1,000 runs in 30 days: 20,000 won"), "{each_second}");
    let quota = "ok      quota: 8 of 100,000 requests today, 8 of 3,000,000 this month (20 won); a full run sends about 8 \
                 requests, 20 won, as the last one did\n";
    assert!(check.contains(quota), "{check}");
}

#[tokio::test]
async fn the_report_shows_costs() {
    let stage = Stage::small().await;
    stage.crawl().await;

    let page = priced(&stage, &["report"]).finish().await.expect_code(0).stdout;

    assert!(page.contains(">20 won<") && page.contains("20 won this month, for 8 requests"), "{page}");
}

#[tokio::test]
async fn without_a_price_nothing_speaks_of_costs() {
    let stage = Stage::small().await;
    stage.crawl().await;

    for arguments in [&["runs"][..], &["runs", "1"], &["next"], &["check"], &["report"]] {
        let stdout = stage.program(arguments).finish().await.expect_code(0).stdout;

        assert!(!stdout.contains(" won"), "{arguments:?}: {stdout}");
    }
}

#[tokio::test]
async fn an_impossible_price_is_an_error() {
    let stage = Stage::small().await;

    for price in ["-1", "nan", "inf", "1001"] {
        let refused = stage.program(&["next"]).set("SANGGWOND_KAKAO__PRICE_WON", price).finish().await.expect_code(2);

        let words = "; expected won per request, from 0 to 1000";
        assert!(refused.stderr.contains(words) && refused.stderr.contains("kakao.price_won"), "{}", refused.stderr);
    }
}

#[tokio::test]
async fn a_run_that_uses_up_the_month_waits_for_the_next_one_and_says_so() {
    let stage = Stage::small().await;
    let at =
        |instant, arguments: &[&str]| stage.program_at(instant, arguments).set("SANGGWOND_KAKAO__MONTHLY_QUOTA", "5");

    let first = at("2026-11-20 10:00:00", &["crawl"]).finish().await.expect_code(4);
    let check = at("2026-11-20 11:00:00", &["check"]).finish().await.expect_code(1);
    let second = at("2026-11-30 14:59:00", &["crawl"]).finish().await.expect_code(4);
    let arrived = stage.standin.requests();
    at("2026-11-30 15:00:01", &["crawl"]).finish().await.expect_code(0);

    let words =
        "all 5 requests of 2026-11 are used (kakao.monthly_quota); the next ones are granted on 2026-12-01 in Seoul";
    assert!(first.stdout.contains(words) && second.stdout.contains(words), "{}{}", first.stdout, second.stdout);
    assert!(check.stdout.contains(&format!("FAILED  quota: {words}")), "{}", check.stdout);
    assert_eq!(arrived, 5);
    assert_eq!(stage.texts("select status from crawl_run").await, ["succeeded"], "the same run went on");
    let months = "select format('%s: %s', month, requests)
        from (select to_char(day, 'YYYY-MM') as month, sum(requests) as requests from api_usage group by 1) as used order by 1";
    let december = stage.standin.requests() - arrived;
    assert_eq!(stage.texts(months).await, ["2026-11: 5".to_owned(), format!("2026-12: {december}")]);
}

#[tokio::test]
async fn a_daemon_waits_for_the_next_month_and_does_not_try_again_and_again() {
    let stage = Stage::small().await;

    let mut daemon = stage.program_at("2026-11-20 10:00:00", &[]).set("SANGGWOND_KAKAO__MONTHLY_QUOTA", "5").start();
    daemon.says("run 1 ended as interrupted").await;
    // Its next decision: the tick of the run is not late any more, and nothing is due.
    daemon.terminate().await.expect_code(0);

    let waits = "select format('%s %s %s', status, resumed_count, resume_at at time zone 'UTC') from crawl_run";
    assert_eq!(stage.texts(waits).await, ["interrupted 0 2026-11-30 15:00:00"]);
    assert_eq!(stage.standin.requests(), 5);
}
