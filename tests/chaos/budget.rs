//! A quota for the month and SIGKILL at random instants: no more requests are sent than the quota allows.

use nix::sys::signal::Signal;

use crate::Plan;
use crate::chance::Chance;
use crate::findings::Findings;
use crate::scene::{Scene, stored_requests};
use crate::support::Stage;

/// The crawl reserves requests 50 at a time, and a kill loses those that are not sent yet.
const RESERVE: u64 = 50;

/// Kills the crawl until the quota of the month is used up.
pub(crate) async fn run(plan: &Plan, findings: &mut Findings) {
    let kills = plan.pick(10, 50);
    let scene = Scene::new(plan.pick(32, 190), "station");
    let quota = (kills * RESERVE).min(scene.undisturbed().await.requests);
    let stage = scene.stage().await;
    let crawl = || scene.crawl(&stage).set("SANGGWOND_KAKAO__MONTHLY_QUOTA", quota.to_string());
    let mut chance = Chance::new(plan.seed);
    let mut killed = 0;
    loop {
        let mut process = crawl().start();
        let next = stage.standin.requests() + chance.within(1..RESERVE);
        tokio::select! {
            () = process.ended() => {}
            () = stage.standin.reached(next), if killed < kills => {
                process.signal(Signal::SIGKILL);
                killed += 1;
            }
        }
        process.finish().await;
        if is_used_up(&stage).await {
            break;
        }
    }

    let arrived = stage.standin.requests();
    findings.note(format!("{killed} kills, {arrived} of {quota} requests sent"));
    findings.check(arrived <= quota, || "more requests than the quota allows".to_owned());
    findings
        .check(stored_requests(&stage).await <= quota, || "more requests recorded than the quota allows".to_owned());
}

/// Whether the run waits for the next month and says so.
async fn is_used_up(stage: &Stage) -> bool {
    let waits = "select count(*) filter (where status = 'interrupted' and reason like '%(kakao.monthly_quota)%'
            and resume_at = (date_trunc('month', now() at time zone 'Asia/Seoul') + '1 month') at time zone 'Asia/Seoul') = 1
        from crawl_run";
    stage.value(waits).await
}
