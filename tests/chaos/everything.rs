//! Everything at once, for weeks: three daemons, of which some are killed, a primary that is lost, faults of the API, receivers
//! that fail, and places that open, move and close. In the end the tables equal those of a crawl that nothing disturbed.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::sys::signal::Signal;
use sanggwond::standin::{Fault, Switches};
use sqlx::postgres::PgPoolOptions;

use crate::Plan;
use crate::chance::Chance;
use crate::findings::Findings;
use crate::notices::{NOTED, daemon, told_of};
use crate::scene::Scene;
use crate::support::Stage;
use crate::support::ledger::wrong_counters;
use crate::support::program::Running;
use crate::support::receiver::{Mood, Receiver};
use crate::support::replica::Pair;
use crate::support::server::server;
use crate::tables::Tables;

/// Number of daemons.
const DAEMONS: usize = 3;

/// Runs the weeks.
pub(crate) async fn run(plan: &Plan, findings: &mut Findings) {
    if !server().await.is_private() {
        findings.skip("DATABASE_URL is set");
        return;
    }
    let weeks: u32 = plan.pick(2, 8);
    let scene = Scene::besides("강남역", 32, "complete");
    let expected = undisturbed(&scene, weeks).await;
    assert!(!expected.has("\"truncated\":true"), "two runs may find different places in a truncated cell");
    let mut chance = Chance::new(plan.seed + 29);
    let mut disturbed = Disturbed::start(&scene, &mut chance).await;
    for week in 0..weeks {
        disturbed.stage.standin.set_world(scene.world(week));
        disturbed.stage.program(&["request"]).finish().await.expect_code(0);
        disturbed.disturb(week, &mut chance).await;
        disturbed.finishes(week + 1).await;
    }
    let Disturbed { stage, pair, fleet, kills, failovers, mut monitor, mut webhook } = disturbed;
    for receiver in [&monitor, &webhook] {
        receiver.set(Mood::Accepts);
    }
    stage.execute("update notice set next_attempt_at = now() where delivered_at is null").await;
    stage.becomes_true("select bool_and(delivered_at is not null) from notice").await;
    for daemon in fleet {
        daemon.terminate().await.expect_code(0);
    }

    Tables::of(&stage).await.compare(&expected, findings);
    check_counters(&stage, findings).await;
    let rows = stage.texts("select format('%s %s', trigger, status) from crawl_run").await;
    let as_requested = vec!["request succeeded".to_owned(); weeks as usize];
    findings.check(rows == as_requested, || format!("rows of history: {rows:?}"));
    let counted: i64 = stage.value("select sum(requests)::bigint from api_usage").await;
    let sent = stage.standin.requests();
    findings.check(counted.unsigned_abs() >= sent, || format!("{sent} requests were sent, and {counted} counted"));
    let accepted: BTreeSet<String> = webhook.rest().iter().filter(|one| one.accepted).map(told_of).collect();
    let noted: BTreeSet<String> = stage.rows(NOTED).await.lines().skip(1).map(|line| line.trim().to_owned()).collect();
    findings.check(accepted == noted && noted.len() == weeks as usize, || {
        format!("noted {noted:?}, but accepted {accepted:?}")
    });
    let resumed: i64 = stage.value("select sum(resumed_count)::bigint from crawl_run").await;
    let closed: i64 = stage.value("select count(*) from place_change where kind = 'closed'").await;
    let pings = monitor.rest().len();
    stage.pool().close().await;
    drop(pair);
    findings.note(format!(
        "{weeks} weeks, {kills} kills, {failovers} failovers, {resumed} times resumed, {closed} closings, {pings} pings"
    ));
}

/// Requests by name, which come before closings, belong to no cell; all other counters of a run are sums over its cells.
async fn check_counters(stage: &Stage, findings: &mut Findings) {
    let mut wrong = wrong_counters(stage).await;
    wrong.retain(|wrong| !wrong.contains(": requests is "));
    findings.check(wrong.is_empty(), || wrong.join("; "));
}

/// The tables after the same weeks, each crawled once by hand.
async fn undisturbed(scene: &Scene, weeks: u32) -> Tables {
    let stage = scene.stage().await;
    for week in 0..weeks {
        stage.standin.set_world(scene.world(week));
        scene.crawl(&stage).finish().await.expect_code(0);
    }
    Tables::of(&stage).await
}

/// The daemons and what they depend on.
struct Disturbed {
    stage: Stage,
    pair: Pair,
    fleet: Vec<Running>,
    monitor: Receiver,
    webhook: Receiver,
    kills: u32,
    failovers: u32,
}

impl Disturbed {
    async fn start(scene: &Scene, chance: &mut Chance) -> Self {
        let pair = Pair::start().await;
        let mut stage = scene.stage().await;
        stage.database.url = pair.url();
        stage.database.pool = PgPoolOptions::new().max_connections(2).connect_lazy_with(pair.options());
        let fault_kinds = vec![
            Fault::Status(500, false),
            Fault::Status(502, true),
            // Not 429 or 503: they slow all requests down, and `limits` and `outages` are about them.
            Fault::CutBody,
            Fault::BrokenJson,
            Fault::Drop,
        ];
        let latency = Duration::from_millis(10) + chance.millis(10);
        stage.standin.set(Switches { latency, fault_share: 0.03, fault_kinds, ..Switches::default() });
        stage.program(&["migrate"]).finish().await.expect_code(0);
        let (monitor, webhook) = (Receiver::start(), Receiver::start());
        let mut disturbed = Self { stage, pair, fleet: Vec::new(), monitor, webhook, kills: 0, failovers: 0 };
        (0..DAEMONS).for_each(|_| disturbed.add());
        disturbed
    }

    fn add(&mut self) {
        let daemon = daemon(&self.stage, &self.monitor.url, &self.webhook.url);
        self.fleet.push(daemon.set("SANGGWOND_CRAWL__COVERAGE", "complete").start());
    }

    /// Kills daemons and the primary while the run of a week is at work.
    async fn disturb(&mut self, week: u32, chance: &mut Chance) {
        for blow in 0..3 {
            for (receiver, shift) in [(&self.monitor, 0), (&self.webhook, 1)] {
                receiver.set(match (week + blow + shift) % 3 {
                    0 => Mood::Answers(503),
                    1 => Mood::Hangs,
                    _ => Mood::Accepts,
                });
            }
            let instant = self.stage.standin.requests() + chance.within(50..400);
            // The run may have ended before.
            tokio::time::timeout(Duration::from_secs(20), self.stage.standin.reached(instant)).await.ok();
            if blow == 1 && week % 2 == 1 {
                self.pair.kill();
                self.pair.promote().await;
                self.failovers += 1;
                let options = self.pair.options();
                self.stage.database.pool = PgPoolOptions::new().max_connections(2).connect_lazy_with(options);
                self.pair.rebuild().await;
            } else {
                let victim = usize::try_from(chance.within(0..DAEMONS as u64)).unwrap();
                let daemon = self.fleet.remove(victim);
                daemon.signal(Signal::SIGKILL);
                daemon.finish().await;
                self.kills += 1;
                self.add();
            }
        }
    }

    /// Waits until so many runs have ended.
    async fn finishes(&self, runs: u32) {
        let ended = "select count(*) from crawl_run where status not in ('running', 'interrupted')";
        let waiting = async {
            while self.stage.value::<i64>(ended).await < i64::from(runs) {
                // Poll, because the server sends no notification when a row changes.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let said = || self.fleet.iter().map(Running::stderr).collect::<Vec<_>>().join("\n----\n");
        let is_over = tokio::time::timeout(Duration::from_mins(3), waiting).await.is_ok();
        assert!(is_over, "run {runs} does not end:\n{}", said());
    }
}
