//! A server with an unknown rate limit: the gate finds the limit and stays close to it.

use std::time::Duration;

use sanggwond::standin::Switches;

use crate::Plan;
use crate::findings::Findings;
use crate::scene::{Scene, crawl, summary};

/// Crawls against a limit that the client does not know.
pub(crate) async fn run(plan: &Plan, findings: &mut Findings) {
    let per_second = plan.pick(80, 20);
    // In the short form the pause after the first 429 is a tenth of the time, so the share is only reported.
    let least = plan.pick(0.0, 0.85);
    // About 3,000 requests in the long form.
    let larger = Scene::new(190, "station");
    let scene = plan.pick(&plan.scene, &larger);
    scene.undisturbed().await;
    let stage = scene.stage().await;
    let latency = Duration::from_millis(20);
    stage.standin.set(Switches { latency, per_second: Some(per_second), ..Switches::default() });

    let crawl = crawl(&stage).unset("SANGGWOND_KAKAO__BACKOFF").start();
    let finished = crawl.finish_within(Duration::from_mins(10)).await.expect_code(0);

    scene.check(&stage, findings).await;
    let summary = summary(&finished);
    let number = |name: &str| summary[name].as_f64().unwrap();
    let (requests, throttled, took) = (number("requests"), number("throttled"), number("elapsed_s"));
    let rate = (requests - throttled) / took;
    let share = rate / f64::from(per_second);
    findings.note(format!(
        "{requests} requests in {took:.1} s, {throttled} of them throttled, {rate:.1} of {per_second} per second ({:.0} %)",
        share * 100.0
    ));
    findings.check(number("cells_failed") == 0.0, || "cells failed".to_owned());
    findings.check(throttled / requests < 0.02, || format!("{throttled} of {requests} requests were throttled"));
    findings.check(share >= least, || format!("only {:.0} % of the allowed rate", share * 100.0));
}
