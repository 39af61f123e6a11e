//! An outage in the middle of a crawl: the gate closes, looks now and then, and opens again.

use std::time::Duration;

use sanggwond::standin::{Fault, Standin, Switches};

use crate::Plan;
use crate::findings::Findings;
use crate::ground::crawl;

/// The most requests that a server in trouble may get.
const MAX_REQUESTS: u64 = 20;

/// How long an answer takes, so that two requests at a time are seen.
const LATENCY: Duration = Duration::from_millis(20);

/// Every request meets 503.
pub(crate) async fn unavailable(plan: &Plan, findings: &mut Findings) {
    run(plan, findings, Fault::Unavailable { retry_after: None }).await;
}

/// Every connection is closed without an answer.
pub(crate) async fn dropped(plan: &Plan, findings: &mut Findings) {
    run(plan, findings, Fault::Drop).await;
}

async fn run(plan: &Plan, findings: &mut Findings, fault: Fault) {
    // Short: all times divided by twenty.
    let (outage, backoff) = plan.pick((Duration::from_secs(6), "50ms"), (Duration::from_mins(2), "1s"));
    let expected = plan.ground.undisturbed().await;
    let stage = plan.ground.stage().await;
    let healthy = Switches { latency: LATENCY, ..Switches::default() };
    stage.standin.set(healthy.clone());
    let crawl = crawl(&stage).set("SANGGWOND_KAKAO__BACKOFF", backoff).start();
    stage.standin.reached(expected.requests / 2).await;

    stage.standin.set(Switches { fault_share: 1.0, fault_kinds: vec![fault], ..healthy.clone() });
    let (sent_before, met_before) = (stage.standin.requests(), stage.standin.faults());
    // An outage is a time, so here a test sleeps.
    let most = tokio::select! {
        () = tokio::time::sleep(outage) => None,
        most = overlapping(&stage.standin) => Some(most),
    };
    let sent = stage.standin.requests() - sent_before;
    stage.standin.set(healthy);
    crawl.finish_within(Duration::from_mins(10)).await.expect_code(0);

    plan.ground.check(&stage, findings).await;
    findings.check(most.is_none(), || format!("{most:?} requests in flight at a time during the outage"));
    findings.check(sent <= MAX_REQUESTS, || format!("{sent} requests during the outage"));
    let failed: i32 = stage.value("select cells_failed from crawl_run").await;
    findings.check(failed == 0, || format!("{failed} cells failed"));
    let met = stage.standin.faults() - met_before;
    findings.note(format!(
        "{} s without a good answer, {sent} requests meanwhile, {met} of them in vain",
        outage.as_secs()
    ));
}

/// Waits until those in flight at the beginning are back, and then for more than one request in flight.
async fn overlapping(standin: &Standin) -> usize {
    // What was under way, and what followed its good answers, is over after two answers' time.
    tokio::time::sleep(LATENCY * 2).await;
    while standin.in_flight() > 0 {
        tokio::time::sleep(LATENCY / 10).await;
    }
    loop {
        standin.reached(standin.requests() + 1).await;
        let in_flight = standin.in_flight();
        if in_flight > 1 {
            return in_flight;
        }
    }
}
