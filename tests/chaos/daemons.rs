//! Several daemons with one database. One executes the run; when it is killed or suspended, another one takes over. A
//! suspended daemon that continues must not write any more.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use sanggwond::standin::Switches;

use crate::Plan;
use crate::chance::Chance;
use crate::findings::Findings;
use crate::scene::program;
use crate::support::Stage;
use crate::support::program::Running;

/// Time limit for a take-over: the lock times out (8 s), the next heartbeat comes (10 s), and 2 s for the test.
const TAKE_OVER: Duration = Duration::from_secs(20);

/// Time limit for a take-over or a log line; then the case fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// Two daemons.
pub(crate) async fn two(plan: &Plan, findings: &mut Findings) {
    run(plan, findings, 2, plan.pick("kk", "kskkskk")).await;
}

/// Three daemons.
pub(crate) async fn three(plan: &Plan, findings: &mut Findings) {
    run(plan, findings, 3, plan.pick("ks", "skkskkks")).await;
}

/// The daemons of one database.
struct Fleet<'a> {
    stage: &'a Stage,
    heartbeat: &'static str,
    daemons: Vec<Running>,
}

/// Kills (`k`) or suspends (`s`) the daemon that executes the run, in the order of `blows`.
async fn run(plan: &Plan, findings: &mut Findings, count: usize, blows: &str) {
    let expected = plan.scene.undisturbed().await;
    let stage = plan.scene.stage().await;
    let latency = Duration::from_millis(plan.pick(30, 100));
    stage.standin.set(Switches { latency, ..Switches::default() });
    let mut chance = Chance::new(plan.seed + count as u64);
    let mut fleet = Fleet { stage: &stage, heartbeat: plan.pick("200ms", "10s"), daemons: Vec::new() };
    (0..count).for_each(|_| fleet.add());
    let mut worker = fleet.worker_besides(&vec![0; count]).await;
    let fair = expected.requests / (blows.len() as u64 + 1);
    let mut longest = Duration::ZERO;
    for blow in blows.chars() {
        stage.standin.reached(stage.standin.requests() + chance.within(fair / 2..fair)).await;
        let claims = fleet.claims();
        let struck = Instant::now();
        fleet.daemons[worker].signal(if blow == 'k' { Signal::SIGKILL } else { Signal::SIGSTOP });
        let next = fleet.worker_besides(&claims).await;
        longest = longest.max(struck.elapsed());
        if blow == 'k' {
            fleet.daemons.remove(worker).finish().await;
            worker = next - usize::from(next > worker);
            fleet.add();
        } else {
            let told = fleet.daemons[worker].said("another process has taken over run");
            fleet.daemons[worker].signal(Signal::SIGCONT);
            let says = tokio::time::timeout(
                PATIENCE,
                fleet.daemons[worker].hears("another process has taken over run", told + 1),
            )
            .await;
            findings.check(says == Ok(true), || {
                "a daemon that was suspended did not log that another process had taken over its run".to_owned()
            });
            worker = next;
        }
    }
    fleet.daemons[worker].says("run 1 ended as succeeded").await;
    fleet.stop().await;

    plan.scene.check(&stage, findings).await;
    let rows = stage.texts("select format('%s %s %s', trigger, status, resumed_count) from crawl_run").await;
    findings.check(rows == [format!("catch_up succeeded {}", blows.len())], || format!("rows of history: {rows:?}"));
    findings.check(longest <= TAKE_OVER, || format!("a take-over took {longest:?}"));
    let kills = blows.matches('k').count();
    findings.note(format!(
        "{kills} killed, {} suspended and continued, taken over after {:.1} s at most",
        blows.len() - kills,
        longest.as_secs_f64()
    ));
}

impl Fleet<'_> {
    fn add(&mut self) {
        let daemon = program(self.stage, &[]).set("SANGGWOND_SCHEDULE__HEARTBEAT", self.heartbeat);
        self.daemons.push(daemon.start());
    }

    /// How often each daemon has started or resumed the run.
    fn claims(&self) -> Vec<usize> {
        self.daemons.iter().map(|daemon| daemon.said("run 1 started") + daemon.said("run 1 resumed")).collect()
    }

    /// Waits for the daemon that starts or resumes the run next.
    async fn worker_besides(&self, before: &[usize]) -> usize {
        let started = Instant::now();
        loop {
            let now = self.claims();
            if let Some(worker) = (0..now.len()).find(|daemon| now[*daemon] > before[*daemon]) {
                return worker;
            }
            assert!(started.elapsed() < PATIENCE, "no daemon takes over the run");
            // Any of the daemons may log the line, so this polls.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn stop(self) {
        for daemon in self.daemons {
            daemon.terminate().await.expect_code(0);
        }
    }
}
