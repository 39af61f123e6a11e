//! Requests for runs while daemons are killed: each is answered by exactly one run, which is finished.

use std::time::Duration;

use nix::sys::signal::Signal;
use sanggwond::standin::Switches;

use crate::Plan;
use crate::chance::Chance;
use crate::findings::Findings;
use crate::scene::program;
use crate::support::Stage;
use crate::support::program::Program;

/// A request is made after every so many kills.
const KILLS_PER_REQUEST: u64 = 2;

/// A daemon that starts no run by itself.
fn daemon(stage: &Stage) -> Program {
    program(stage, &["daemon"])
        .set("SANGGWOND_SCHEDULE__ENABLED", "false")
        .set("SANGGWOND_SCHEDULE__HEARTBEAT", "200ms")
}

/// Kills the daemon at random instants while requests arrive, and lets the last one answer what is left.
pub(crate) async fn run(plan: &Plan, findings: &mut Findings) {
    let kills = plan.pick(8, 50);
    let stage = plan.scene.stage().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    stage.standin.set(Switches { latency: Duration::from_millis(30), ..Switches::default() });
    let mut chance = Chance::new(plan.seed);
    for kill in 0..kills {
        if kill % KILLS_PER_REQUEST == 0 {
            let keyword = if kill % 4 == 0 { "카페" } else { "공원" };
            stage.program(&["request", "--keyword", keyword]).finish().await.expect_code(0);
        }
        let killed = daemon(&stage).start();
        tokio::time::sleep(Duration::from_millis(300) + chance.millis(1200)).await;
        killed.signal(Signal::SIGKILL);
        killed.finish().await;
    }
    let mut last = daemon(&stage).start();
    // Before that, a signal would end it without its handler.
    last.says("the schedule is disabled").await;
    let answered = "select count(*) = count(*) filter (where r.status = 'succeeded')
        from run_request q left join crawl_run r using (crawl_run_id)";
    stage.becomes_true(answered).await;
    last.terminate().await.expect_code(0);

    let requests: i64 = stage.value("select count(*) from run_request").await;
    let runs: i64 = stage.value("select count(*) from crawl_run where trigger = 'request'").await;
    let distinct: i64 = stage.value("select count(distinct crawl_run_id) from run_request").await;
    let resumed: i64 = stage.value("select sum(resumed_count)::bigint from crawl_run").await;
    findings.note(format!("{kills} kills, {requests} requests, resumed {resumed} times"));
    findings.check((runs, distinct) == (requests, requests), || {
        format!("{requests} requests were answered by {distinct} of {runs} runs")
    });
}
