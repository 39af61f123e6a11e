//! The database server is restarted while a daemon executes a run: the daemon waits and resumes the run.

use std::time::{Duration, Instant};

use sanggwond::standin::Switches;

use crate::Plan;
use crate::chance::Chance;
use crate::findings::Findings;
use crate::scene::{program, stored_requests};
use crate::support::server::{Shutdown, server};

const ENDED: &str = "run 1 ended as succeeded";

/// Time limit for resuming the run.
const PATIENCE: Duration = Duration::from_mins(1);

/// Restarts the server several times during one run.
pub(crate) async fn run(plan: &Plan, findings: &mut Findings) {
    let server = server().await;
    if !server.is_private() {
        findings.skip("DATABASE_URL is set");
        return;
    }
    let (restarts, latency) = (plan.pick(3, 10), Duration::from_millis(plan.pick(60, 100)));
    let expected = plan.scene.undisturbed().await;
    let stage = plan.scene.stage().await;
    stage.standin.set(Switches { latency, ..Switches::default() });
    let mut chance = Chance::new(plan.seed + 2);
    let fair = expected.requests / (restarts + 1);
    let mut daemon = program(&stage, &[]).set("SANGGWOND_SCHEDULE__HEARTBEAT", "200ms").start();
    let (mut longest, mut done) = (Duration::ZERO, 0);
    for restart in 0..usize::try_from(restarts).unwrap() {
        let instant = stage.standin.requests() + chance.within(fair / 2..fair);
        tokio::select! {
            () = stage.standin.reached(instant) => {}
            // The previous restart came so late that the crawl finished before noticing it.
            _ = daemon.hears(ENDED, 1) => break,
        }
        done += 1;
        let down = Instant::now();
        server.restart(if restart % 2 == 0 { Shutdown::Fast } else { Shutdown::Immediate }).await;
        let is_back = || daemon.said("run 1 resumed") > restart || daemon.said(ENDED) > 0;
        while !is_back() {
            assert!(down.elapsed() < PATIENCE, "the run is not resumed:\n{}", daemon.stderr());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        longest = longest.max(down.elapsed());
    }
    daemon.says(ENDED).await;
    daemon.terminate().await.expect_code(0);

    plan.scene.check(&stage, findings).await;
    let rows = stage.texts("select format('%s of %s', trigger, scheduled_for) from crawl_run").await;
    let is_one_catch_up = rows.len() == 1 && rows[0].starts_with("catch_up of 20");
    findings.check(is_one_catch_up, || format!("runs other than one catch-up: {rows:?}"));
    let resumed: i32 = stage.value("select resumed_count from crawl_run").await;
    let resumed = u64::from(resumed.unsigned_abs());
    // A lost lock is noticed within 2 s. If the crawl has finished by then, there is nothing to resume.
    findings.check(done + 1 >= restarts, || format!("the crawl finished after {done} restarts"));
    findings.check(resumed == done || resumed + 1 == done, || format!("resumed {resumed} times"));
    let repeated = stage.standin.requests() - stored_requests(&stage).await;
    findings.note(format!(
        "{done} restarts, resumed {resumed} times, after {:.1} s at most, {repeated} requests lost in total",
        longest.as_secs_f64()
    ));
}
