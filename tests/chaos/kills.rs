//! kill -9 at random instants: nothing is lost, and little is done twice.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::sys::signal::Signal;
use sanggwond::standin::{Fault, Recorded, Switches};

use crate::Plan;
use crate::chance::Chance;
use crate::findings::Findings;
use crate::ground::{Ground, stored_requests};
use crate::support::Stage;

/// The cells that may be read again after a kill: a batch that is not written yet, what waits for the writer, and the
/// open cells, which are those in flight (5) and as many between two pages.
const MAX_CELLS_LOST: usize = 50 + 64 + 2 * 5;

/// What was there when a life began.
struct Before {
    arrived: u64,
    stored: u64,
    done: usize,
}

impl Before {
    async fn now(stage: &Stage) -> Self {
        let done: i64 = stage.value("select count(*) from crawl_cell where status in ('done', 'split')").await;
        Self {
            arrived: stage.standin.requests(),
            stored: stored_requests(stage).await,
            done: usize::try_from(done).unwrap(),
        }
    }
}

/// What the kills cost, one by one.
#[derive(Default)]
struct Losses {
    requests: Vec<u64>,
    cells: Vec<usize>,
}

impl Losses {
    fn tell(&self, latency: Duration, findings: &mut Findings) {
        let kills = self.requests.len();
        let mean = self.requests.iter().sum::<u64>() / kills.max(1) as u64;
        let most = self.requests.iter().max().copied().unwrap_or(0);
        let most_cells = self.cells.iter().max().copied().unwrap_or(0);
        findings
            .note(format!("{kills} kills, {mean} requests repeated per kill (at most {most}, in {most_cells} cells)"));
        findings.check(kills > 0, || "it was through before the first kill".to_owned());
        findings.check(most_cells <= MAX_CELLS_LOST, || format!("{most_cells} cells were lost by one kill"));
        // A batch waits for half a second at most; as long again for writing it on a slow machine.
        let a_second = in_flight_for(Duration::from_secs(1), latency);
        findings.check(mean <= a_second, || format!("{mean} requests lost by a kill, more than a second's {a_second}"));
    }
}

/// The requests of so much time, five at a time.
fn in_flight_for(time: Duration, latency: Duration) -> u64 {
    5 * u64::try_from(time.as_millis() / latency.as_millis()).unwrap()
}

/// Kills a crawl around stations.
pub(crate) async fn around_stations(plan: &Plan, findings: &mut Findings) {
    run(plan, &plan.ground, findings).await;
}

/// Kills a crawl in rectangles, which are divided meanwhile.
pub(crate) async fn in_rectangles(plan: &Plan, findings: &mut Findings) {
    let ground = Ground::new(plan.pick(32, 100), "complete");
    run(plan, &ground, findings).await;
}

/// Kills the crawl again and again, until it is through.
async fn run(plan: &Plan, ground: &Ground, findings: &mut Findings) {
    let (kills, latency) = (plan.pick(8, 60), Duration::from_millis(plan.pick(50, 100)));
    let expected = ground.undisturbed().await;
    let stage = ground.stage().await;
    let fault_kinds = vec![
        Fault::Status(500, false),
        Fault::Status(502, true),
        Fault::Unavailable { retry_after: None },
        Fault::CutBody,
        Fault::BrokenJson,
    ];
    stage.standin.set(Switches { latency, fault_share: 0.05, fault_kinds, ..Switches::default() });
    stage.standin.record(true);
    let mut chance = Chance::new(plan.seed);
    let mut before = Before { arrived: 0, stored: 0, done: 0 };
    let mut losses = Losses::default();
    // About a quarter of a second's requests are in nobody's ledger when a kill comes.
    let typical_loss = in_flight_for(Duration::from_millis(250), latency);
    let mut is_through = false;
    while losses.requests.len() < kills && !is_through {
        let left = (expected.requests * 105 / 100).saturating_sub(before.stored);
        let fair = left / (kills - losses.requests.len()) as u64 + typical_loss;
        let mut crawl = ground.crawl(&stage).start();
        let instant = async {
            if losses.requests.len() % 6 == 5 {
                // By time, so that opening and resuming are hit, too, which no request announces.
                tokio::time::sleep(chance.millis(500)).await;
            } else {
                stage.standin.reached(before.arrived + chance.within(1..2 * fair)).await;
            }
        };
        tokio::select! {
            () = crawl.ended() => is_through = true,
            () = instant => crawl.signal(Signal::SIGKILL),
        }
        if is_through {
            crawl.finish().await.expect_code(0);
            break;
        }
        crawl.finish().await;
        gone(&stage).await;
        // A kill between the last words in the database and the end of the process comes too late.
        is_through = stage.value("select bool_or(status = 'succeeded') from crawl_run").await;
        let now = Before::now(&stage).await;
        losses.requests.push((now.arrived - before.arrived) - (now.stored - before.stored));
        losses.cells.push(touched(&stage, before.arrived) - (now.done - before.done));
        before = now;
    }
    if !is_through {
        ground.crawl(&stage).finish().await.expect_code(0);
    }

    ground.check(&stage, findings).await;
    let runs: i64 = stage.value("select count(*) from crawl_run").await;
    findings.check(runs == 1, || format!("{runs} rows of history"));
    losses.tell(latency, findings);
}

/// Waits until the server has noticed that a process is gone: its last transaction is through or undone.
async fn gone(stage: &Stage) {
    let sessions = "select count(*) from pg_stat_activity
        where datname = current_database() and application_name = 'sanggwond'";
    while stage.value::<i64>(sessions).await > 0 {
        // The server gives no sign when a session ends.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How many cells were asked for since so many requests had arrived.
fn touched(stage: &Stage, arrived: u64) -> usize {
    let recorded = stage.standin.recorded();
    let since = recorded.iter().skip(usize::try_from(arrived).unwrap());
    // The centre of a rectangle is sent where it is read once more, and does not make it another cell.
    let area = |one: &Recorded| match one.params.get("rect") {
        Some(rect) => rect.clone(),
        None => format!("{},{}", one.params["x"], one.params["y"]),
    };
    since.map(|one| (one.params["query"].clone(), area(one))).collect::<BTreeSet<_>>().len()
}
