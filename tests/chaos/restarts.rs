//! The database server is restarted under a daemon at work: the daemon waits, and goes on with its run.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use sanggwond::standin::Switches;

use crate::Plan;
use crate::chance::Chance;
use crate::findings::Findings;
use crate::ground::{program, stored_requests};
use crate::support::server::{Shutdown, server};

const ENDED: &str = "run 1 ended as succeeded";

/// How long the daemon may take to go on.
const PATIENCE: Duration = Duration::from_mins(1);

/// Restarts the server again and again during one run.
pub(crate) async fn run(plan: &Plan, findings: &mut Findings) {
    let server = server().await;
    if !server.is_private() {
        findings.skip("DATABASE_URL is set");
        return;
    }
    let (restarts, latency) = (plan.pick(3, 10), Duration::from_millis(plan.pick(60, 100)));
    let expected = plan.ground.undisturbed().await;
    let stage = plan.ground.stage().await;
    stage.standin.set(Switches { latency, ..Switches::default() });
    let mut chance = Chance::new(plan.seed + 2);
    let fair = expected.requests / (restarts + 1);
    let mut daemon = program(&stage, &[]).set("SANGGWOND_SCHEDULE__HEARTBEAT", "200ms").start();
    let (mut longest, mut done) = (Duration::ZERO, 0);
    for restart in 0..usize::try_from(restarts).unwrap() {
        let instant = stage.standin.requests() + chance.within(fair / 2..fair);
        tokio::select! {
            () = stage.standin.reached(instant) => {}
            // The one before came so late that the crawl was through before it was noticed.
            _ = daemon.hears(ENDED, 1) => break,
        }
        done += 1;
        let down = Instant::now();
        server.restart(if restart % 2 == 0 { Shutdown::Fast } else { Shutdown::Immediate }).await;
        let is_back = || daemon.said("run 1 goes on") > restart || daemon.said(ENDED) > 0;
        while !is_back() {
            assert!(down.elapsed() < PATIENCE, "it does not go on:\n{}", daemon.stderr());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        longest = longest.max(down.elapsed());
    }
    daemon.says(ENDED).await;
    daemon.signal(Signal::SIGTERM);
    daemon.finish().await.expect_code(0);

    plan.ground.check(&stage, findings).await;
    let rows = stage.texts("select format('%s %s', trigger, scheduled_for is not null) from crawl_run").await;
    findings.check(rows == ["catch_up t"], || format!("rows of history: {rows:?}"));
    let resumed: i32 = stage.value("select resumed_count from crawl_run").await;
    let resumed = u64::from(resumed.unsigned_abs());
    // The loss of the lock is seen within two seconds; where the crawl is through by then, nothing is left to resume.
    findings.check(done + 1 >= restarts, || format!("it was through after {done} restarts"));
    findings.check(resumed == done || resumed + 1 == done, || format!("resumed {resumed} times"));
    let repeated = stage.standin.requests() - stored_requests(&stage).await;
    findings.note(format!(
        "{done} restarts, resumed {resumed} times, gone on after {:.1} s at most, {repeated} requests lost in all",
        longest.as_secs_f64()
    ));
}
