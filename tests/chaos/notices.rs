//! Notices while daemons are killed and receivers fail: every event arrives, and always with the same key.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nix::sys::signal::Signal;
use sanggwond::standin::Switches;

use crate::Plan;
use crate::chance::Chance;
use crate::findings::Findings;
use crate::scene::program;
use crate::support::Stage;
use crate::support::program::Program;
use crate::support::receiver::{Heard, Mood, Receiver};

/// A full run is requested after every so many kills.
const KILLS_PER_REQUEST: u64 = 2;

/// The notices that a receiver must have got: key, event and run.
pub(crate) const NOTED: &str =
    "select format('%s %s %s', key, event, crawl_run_id) from notice where channel = 'webhook' order by 1";

/// A daemon that starts no run by itself, and tells of every end.
pub(crate) fn daemon(stage: &Stage, ping_url: &str, webhook_url: &str) -> Program {
    program(stage, &["daemon"])
        .set("SANGGWOND_SCHEDULE__ENABLED", "false")
        .set("SANGGWOND_SCHEDULE__HEARTBEAT", "200ms")
        .set("NOTIFY_PING_URL", ping_url)
        .set("NOTIFY_WEBHOOK_URL", webhook_url)
        .set("SANGGWOND_NOTIFY__ON", "success,recovered,partial,failed,cancelled")
}

/// Kills the daemon at random instants while full runs are requested and receivers fail.
pub(crate) async fn run(plan: &Plan, findings: &mut Findings) {
    let kills = plan.pick(8, 50);
    let stage = plan.scene.stage().await;
    let (mut monitor, mut webhook) = (Receiver::start(), Receiver::start());
    let (ping_url, webhook_url) = (monitor.url.clone(), webhook.url.clone());
    stage.program(&["migrate"]).finish().await.expect_code(0);
    stage.standin.set(Switches { latency: Duration::from_millis(10), ..Switches::default() });
    let mut chance = Chance::new(plan.seed);
    for kill in 0..kills {
        if kill % KILLS_PER_REQUEST == 0 {
            stage.program(&["request"]).finish().await.expect_code(0);
        }
        for (receiver, shift) in [(&monitor, 0), (&webhook, 1)] {
            receiver.set(match (kill + shift) % 4 {
                0 => Mood::Answers(503),
                1 => Mood::Hangs,
                _ => Mood::Accepts,
            });
        }
        stage.execute("update notice set next_attempt_at = now() where delivered_at is null").await;
        let killed = daemon(&stage, &ping_url, &webhook_url).start();
        tokio::time::sleep(Duration::from_millis(300) + chance.millis(2500)).await;
        killed.signal(Signal::SIGKILL);
        killed.finish().await;
    }
    monitor.set(Mood::Accepts);
    webhook.set(Mood::Accepts);
    let mut last = daemon(&stage, &ping_url, &webhook_url).start();
    // Before that, a signal would end it without its handler.
    last.says("the schedule is disabled").await;
    stage.becomes_true("select count(*) > 0 and bool_and(crawl_run_id is not null) from run_request").await;
    stage.becomes_true("select bool_and(status not in ('running', 'interrupted')) from crawl_run").await;
    stage.execute("update notice set next_attempt_at = now() where delivered_at is null").await;
    let told = "select bool_and(delivered_at is not null) from notice where channel = 'ping' or event <> 'skipped'";
    stage.becomes_true(told).await;
    last.terminate().await.expect_code(0);

    let messages = webhook.rest();
    let accepted: BTreeSet<String> = messages.iter().filter(|one| one.accepted).map(told_of).collect();
    let noted: BTreeSet<String> = stage.rows(NOTED).await.lines().skip(1).map(|line| line.trim().to_owned()).collect();
    let mut keys: BTreeMap<String, BTreeSet<Option<String>>> = BTreeMap::new();
    for one in &messages {
        keys.entry(event_and_run(one)).or_default().insert(one.key.clone());
    }
    let pings = monitor.rest();
    let heard: BTreeSet<&Option<String>> = pings.iter().filter(|one| one.accepted).map(|one| &one.key).collect();
    let pinged: i64 = stage.value("select count(*) from notice where channel = 'ping'").await;
    findings.note(format!(
        "{kills} kills, {} messages for {} events, {} pings",
        messages.len(),
        noted.len(),
        pings.len()
    ));
    findings.check(accepted == noted && !noted.is_empty(), || format!("noted {noted:?}, but accepted {accepted:?}"));
    findings.check(keys.values().all(|keys| keys.len() == 1), || format!("an event has several keys: {keys:?}"));
    findings.check(heard.len() == usize::try_from(pinged).unwrap(), || {
        format!("{pinged} pings are noted, {heard:?} arrived")
    });
}

/// The key, event and run of a message.
pub(crate) fn told_of(message: &Heard) -> String {
    format!("{} {}", message.key.as_deref().unwrap_or_default(), event_and_run(message))
}

fn event_and_run(message: &Heard) -> String {
    let body = message.json();
    format!("{} {}", body["event"].as_str().unwrap_or_default(), body["crawl_run_id"])
}
