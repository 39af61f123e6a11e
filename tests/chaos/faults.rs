//! All kinds of faults, mixed: each costs one request, and no data.

use sanggwond::standin::{Fault, Switches};

use crate::Plan;
use crate::findings::Findings;
use crate::ground::{crawl, summary};

/// Crawls while every twentieth request meets a fault.
pub(crate) async fn run(plan: &Plan, findings: &mut Findings) {
    let expected = plan.ground.undisturbed().await;
    let stage = plan.ground.stage().await;
    let fault_kinds = vec![
        Fault::Status(500, false),
        Fault::Status(502, true),
        Fault::Throttled { retry_after: None },
        Fault::Throttled { retry_after: Some("0".to_owned()) },
        Fault::Unavailable { retry_after: None },
        Fault::HtmlOk,
        Fault::Empty,
        Fault::BrokenJson,
        Fault::CutBody,
        Fault::Hang,
        Fault::Drop,
    ];
    stage.standin.set(Switches { fault_share: 0.05, fault_kinds, ..Switches::default() });

    let crawl = crawl(&stage).set("SANGGWOND_KAKAO__TIMEOUT", "500ms").start();
    let finished = crawl.finish_within(std::time::Duration::from_mins(10)).await.expect_code(0);

    plan.ground.check(&stage, findings).await;
    let summary = summary(&finished);
    findings.check(summary["status"] == "succeeded", || format!("it ended as {}", summary["status"]));
    let (requests, faults) = (stage.standin.requests(), stage.standin.faults());
    // One per cent of 429 that no rate provokes makes the gate slow: it takes each for a limit.
    let (throttled, took) = (&summary["throttled"], summary["elapsed_s"].as_f64().unwrap());
    findings.note(format!(
        "{requests} requests for {} pages, {faults} faults ({throttled} of them 429), {took:.1} s",
        expected.requests
    ));
    let most = expected.requests * 115 / 100 + faults;
    findings.check(requests <= most, || format!("{requests} requests, more than {most}"));
    findings.check(faults > expected.requests / 40, || format!("only {faults} faults are no test"));
}
