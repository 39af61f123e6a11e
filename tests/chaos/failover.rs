//! The server of the primary is lost, and its standby is promoted, while a daemon executes a run: the run goes on there.

use std::time::{Duration, Instant};

use sanggwond::standin::Switches;
use sqlx::postgres::PgPoolOptions;

use crate::Plan;
use crate::chance::Chance;
use crate::findings::Findings;
use crate::scene::{program, stored_requests};
use crate::support::Stage;
use crate::support::replica::Pair;
use crate::support::server::server;

const ENDED: &str = "run 1 ended as succeeded";

/// Time limit for resuming the run after a promotion.
const LIMIT: Duration = Duration::from_secs(30);

/// Loses the primary several times during one run: by SIGKILL, and once by an interrupted replication while it still runs.
pub(crate) async fn run(plan: &Plan, findings: &mut Findings) {
    if !server().await.is_private() {
        findings.skip("DATABASE_URL is set");
        return;
    }
    let failovers: u64 = plan.pick(3, 20);
    let expected = plan.scene.undisturbed().await;
    let mut pair = Pair::start().await;
    let mut stage = plan.scene.stage().await;
    stage.database.url = pair.url();
    stage.standin.set(Switches { latency: Duration::from_millis(plan.pick(60, 150)), ..Switches::default() });
    let mut chance = Chance::new(plan.seed + 17);
    let fair = expected.requests / (failovers + 1);
    let mut daemon = program(&stage, &[]).set("SANGGWOND_SCHEDULE__HEARTBEAT", "200ms").start();
    let (mut longest, mut done) = (Duration::ZERO, 0);
    for failover in 0..failovers {
        let instant = stage.standin.requests() + chance.within(fair / 4..fair / 2);
        tokio::select! {
            () = stage.standin.reached(instant) => {}
            _ = daemon.hears(ENDED, 1) => break,
        }
        let before = daemon.said("run 1 resumed") + daemon.said(ENDED);
        let down = Instant::now();
        // The second time, the old primary still runs, but nothing is replicated.
        if failover == 1 {
            pair.cut_off().await;
        } else {
            pair.kill();
        }
        pair.promote().await;
        while daemon.said("run 1 resumed") + daemon.said(ENDED) == before {
            assert!(down.elapsed() < 2 * LIMIT, "the run is not resumed:\n{}", daemon.stderr());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        longest = longest.max(down.elapsed());
        done += 1;
        if failover == 1 {
            let is_resumed_there = "select resumed_count > 1 or status <> 'running' from sanggwond.crawl_run";
            let is_mixed = pair.value_on_replaced(is_resumed_there).await;
            findings.check(!is_mixed, || "the run went on at the primary that was replaced".to_owned());
        }
        pair.rebuild().await;
    }
    daemon.says(ENDED).await;
    daemon.terminate().await.expect_code(0);

    // What the tables hold is read from the server that is the primary now.
    stage.database.pool = PgPoolOptions::new().max_connections(2).connect_lazy_with(pair.options());
    plan.scene.check(&stage, findings).await;
    let rows = stage.texts("select format('%s %s', trigger, status) from crawl_run").await;
    findings.check(rows == ["catch_up succeeded"], || format!("runs other than one catch-up: {rows:?}"));
    findings.check(done == failovers, || format!("the crawl finished after {done} failovers"));
    findings.check(longest <= LIMIT, || format!("the run went on after {longest:?}"));
    check_the_standby(&stage, &pair, findings).await;
    let lost = check_requests(&stage, findings).await;
    drop(pair);
    findings.note(format!(
        "{done} failovers, the run went on after {:.1} s at most, {lost} requests lost in total",
        longest.as_secs_f64()
    ));
}

/// Every request that was sent is counted; the requests that no cell accounts for.
async fn check_requests(stage: &Stage, findings: &mut Findings) -> u64 {
    let stored = stored_requests(stage).await;
    let counted: i64 = stage.value("select sum(requests)::bigint from api_usage").await;
    let sent = stage.standin.requests();
    findings.check(counted.unsigned_abs() >= sent, || format!("{sent} requests were sent, and {counted} counted"));
    sent - stored
}

/// The standby answers readers as the primary does, and says what it is to those who write.
async fn check_the_standby(stage: &Stage, pair: &Pair, findings: &mut Findings) {
    let seen = "select concat_ws(' ', (select count(*) from local_info), (select count(*) from place_feed(0, null)),
        (select string_agg(place_id, ',') from place_near(37.7484, 127.0443)))";
    let standby = PgPoolOptions::new().connect_lazy_with(pair.options_of_standby());
    let there: String = sqlx::query_scalar(seen).fetch_one(&standby).await.unwrap();
    let here: String = stage.value(seen).await;
    findings.check(there == here && here.len() > 20, || format!("{there:.100} instead of {here:.100}"));
    standby.close().await;
    let primary = program(stage, &["status"]).finish().await;
    findings.check(primary.stdout.contains("run 1"), || format!("status: {}{}", primary.stdout, primary.stderr));
    let status = program(stage, &["status"]).set("DATABASE_URL", pair.url_of_standby()).finish().await;
    findings.check(status.stdout.contains("run 1"), || format!("status: {}{}", status.stdout, status.stderr));
    let crawl = program(stage, &["crawl"]).set("DATABASE_URL", pair.url_of_standby()).finish().await;
    findings.check(crawl.stderr.contains("it is a standby") && !crawl.status.success(), || {
        format!("crawl: {}", crawl.stderr)
    });
}
