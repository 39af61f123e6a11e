//! All kinds of faults, mixed. Each costs one request and loses no data.

use sanggwond::standin::{Fault, Switches};

use crate::Plan;
use crate::findings::Findings;
use crate::scene::{crawl, summary};

/// Crawls while 5 % of the requests fail.
pub(crate) async fn run(plan: &Plan, findings: &mut Findings) {
    let expected = plan.scene.undisturbed().await;
    let stage = plan.scene.stage().await;
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

    let crawl = crawl(&stage).set("SANGGWOND_KAKAO__TIMEOUT", "2s").start();
    let finished = crawl.finish_within(std::time::Duration::from_mins(10)).await.expect_code(0);

    plan.scene.check(&stage, findings).await;
    let summary = summary(&finished);
    findings.check(summary["status"] == "succeeded", || format!("it ended as {}", summary["status"]));
    let (requests, faults) = (stage.standin.requests(), stage.standin.faults());
    // About 1 % of the requests get 429 independently of the rate. The gate slows down, because it assumes a rate limit.
    let (throttled, took) = (&summary["throttled"], summary["elapsed_s"].as_f64().unwrap());
    findings.note(format!(
        "{requests} requests for {} pages, {faults} faults ({throttled} of them 429), {took:.1} s",
        expected.requests
    ));
    let most = expected.requests * 115 / 100 + faults;
    findings.check(requests <= most, || format!("{requests} requests, more than {most}"));
    findings.check(faults > expected.requests / 40, || format!("only {faults} faults are too few for this test"));
}
