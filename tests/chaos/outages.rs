//! An outage of the API during a crawl: the gate pauses all requests, sends single test requests, and then continues.

use std::time::Duration;

use sanggwond::standin::{Fault, Standin, Switches};

use crate::Plan;
use crate::findings::Findings;
use crate::scene::crawl;

/// Maximum number of requests during the outage.
const MAX_REQUESTS: u64 = 20;

/// The latency of a response, so that concurrent requests are noticed.
const LATENCY: Duration = Duration::from_millis(20);

/// The time after which the requests that were in flight at the start of the outage have ended. Each may be retried once
/// immediately, because its connection was reused.
const SURPRISE: Duration = Duration::from_secs(1);

/// Every request gets 503.
pub(crate) async fn unavailable(plan: &Plan, findings: &mut Findings) {
    run(plan, findings, Fault::Unavailable { retry_after: None }).await;
}

/// Every connection is closed without a response.
pub(crate) async fn dropped(plan: &Plan, findings: &mut Findings) {
    run(plan, findings, Fault::Drop).await;
}

async fn run(plan: &Plan, findings: &mut Findings, fault: Fault) {
    // In the short form, all times are divided by 20.
    let (outage, backoff) = plan.pick((Duration::from_secs(6), "50ms"), (Duration::from_mins(2), "1s"));
    let expected = plan.scene.undisturbed().await;
    let stage = plan.scene.stage().await;
    let healthy = Switches { latency: LATENCY, ..Switches::default() };
    stage.standin.set(healthy.clone());
    let crawl = crawl(&stage).set("SANGGWOND_KAKAO__BACKOFF", backoff).start();
    stage.standin.reached(expected.requests / 2).await;

    stage.standin.set(Switches { fault_share: 1.0, fault_kinds: vec![fault], ..healthy.clone() });
    let (sent_before, met_before) = (stage.standin.requests(), stage.standin.faults());
    // The outage must last for some time, so this test sleeps.
    let most = tokio::select! {
        () = tokio::time::sleep(outage) => None,
        most = overlapping(&stage.standin) => Some(most),
    };
    let sent = stage.standin.requests() - sent_before;
    stage.standin.set(healthy);
    crawl.finish_within(Duration::from_mins(10)).await.expect_code(0);

    plan.scene.check(&stage, findings).await;
    findings.check(most.is_none(), || format!("{most:?} requests in flight at a time during the outage"));
    findings.check(sent <= MAX_REQUESTS, || format!("{sent} requests during the outage"));
    let failed: i32 = stage.value("select cells_failed from crawl_run").await;
    findings.check(failed == 0, || format!("{failed} cells failed"));
    let met = stage.standin.faults() - met_before;
    findings.note(format!("outage of {} s, {sent} requests meanwhile, {met} of them failed", outage.as_secs()));
}

/// Waits until the requests in flight at the start of the outage have ended, and then until there are concurrent requests.
async fn overlapping(standin: &Standin) -> usize {
    tokio::time::sleep(SURPRISE).await;
    loop {
        standin.reached(standin.requests() + 1).await;
        let in_flight = standin.in_flight();
        if in_flight > 1 {
            return in_flight;
        }
    }
}
