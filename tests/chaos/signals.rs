//! SIGTERM at random instants: the crawl stops at a safe point, and a later crawl resumes it without a gap.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use sanggwond::standin::Switches;

use crate::Plan;
use crate::chance::Chance;
use crate::findings::Findings;
use crate::scene::{crawl, stored_requests};
use crate::support::Stage;
use crate::support::program::Running;

/// The default of `shutdown.grace`.
const GRACE: Duration = Duration::from_secs(30);

/// The default of `kakao.max_in_flight`.
const IN_FLIGHT: u64 = 5;

/// Stops and resumes the crawl until it finishes.
pub(crate) async fn run(plan: &Plan, findings: &mut Findings) {
    let (stops, latency) = (plan.pick(8, 40), Duration::from_millis(plan.pick(30, 100)));
    let expected = plan.scene.undisturbed().await;
    let stage = plan.scene.stage().await;
    stage.standin.set(Switches { latency, ..Switches::default() });
    let mut chance = Chance::new(plan.seed + 1);
    let (mut stopped, mut slowest, mut late) = (0, Duration::ZERO, 0);
    let mut is_through = false;
    while stopped < stops && !is_through {
        let arrived = stage.standin.requests();
        let fair = expected.requests.saturating_sub(arrived) / (stops - stopped);
        let mut crawl = crawl(&stage).start();
        let instant = chance.within(1..2 * fair);
        tokio::select! {
            () = crawl.ended() => {}
            () = stage.standin.reached(arrived + instant) => {
                let (took, after) = stop(&stage, &mut crawl, stopped % 2 == 0).await;
                slowest = slowest.max(took);
                late = late.max(after);
                let allowed = if stopped % 2 == 0 { 0 } else { IN_FLIGHT };
                findings.check(after <= allowed, || format!("{after} requests were sent after signal {stopped}"));
                stopped += 1;
            }
        }
        let code = crawl.finish().await.status.code();
        let status: String = stage.value("select status from crawl_run").await;
        is_through = status == "succeeded";
        let is_right = matches!((code, status.as_str()), (Some(4), "interrupted") | (Some(0), "succeeded"));
        findings.check(is_right, || format!("exit code {code:?} and status {status}"));
        let (sent, stored) = (stage.standin.requests(), stored_requests(&stage).await);
        findings.check(sent == stored, || format!("{sent} requests were sent, {stored} are stored"));
    }
    if !is_through {
        crawl(&stage).finish().await.expect_code(0);
    }

    plan.scene.check(&stage, findings).await;
    let runs: i64 = stage.value("select count(*) from crawl_run").await;
    findings.check(runs == 1, || format!("{runs} rows of history"));
    findings.check(slowest <= GRACE, || format!("{slowest:?} from a signal to the end"));
    let repeated = stage.standin.requests().saturating_sub(expected.requests);
    findings.note(format!(
        "{stopped} stops, {:.2} s to the end at most, at most {late} requests after a signal, {repeated} pages read twice in total",
        slowest.as_secs_f64()
    ));
}

/// Sends the signal. Returns the time until the end of the process, and the number of requests after the signal was logged.
async fn stop(stage: &Stage, crawl: &mut Running, is_held: bool) -> (Duration, u64) {
    if is_held {
        // While all responses are held back, any further request must have been sent after the signal.
        stage.standin.hold();
        settled(stage).await;
    }
    let signalled = Instant::now();
    crawl.signal(Signal::SIGTERM);
    crawl.hears("SIGTERM received", 1).await;
    let arrived = stage.standin.requests();
    stage.standin.release();
    crawl.ended().await;
    (signalled.elapsed(), stage.standin.requests() - arrived)
}

/// Waits until no more requests arrive: the maximum is in flight, or the last cells are being read.
async fn settled(stage: &Stage) {
    let mut arrived = 0;
    while stage.standin.requests() > arrived {
        arrived = stage.standin.requests();
        // The absence of requests can only be observed by waiting.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
