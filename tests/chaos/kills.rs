//! SIGKILL at random instants: no data is lost, and little work is repeated.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::sys::signal::Signal;
use sanggwond::standin::{Fault, Recorded, Switches};

use crate::Plan;
use crate::chance::Chance;
use crate::findings::Findings;
use crate::scene::{Scene, stored_requests};
use crate::support::Stage;

/// Maximum number of cells that are read again after a kill: a batch that is not written yet (50), the queue of the writer
/// (64), and the open cells, of which 5 are in flight and as many wait between two pages.
const MAX_CELLS_LOST: usize = 50 + 64 + 2 * 5;

/// The counters when a process was started.
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

/// The requests and cells that each kill caused to be repeated.
#[derive(Default)]
struct Losses {
    requests: Vec<u64>,
    cells: Vec<usize>,
}

impl Losses {
    fn report(&self, latency: Duration, findings: &mut Findings) {
        let kills = self.requests.len();
        let mean = self.requests.iter().sum::<u64>() / kills.max(1) as u64;
        let most = self.requests.iter().max().copied().unwrap_or(0);
        let most_cells = self.cells.iter().max().copied().unwrap_or(0);
        findings
            .note(format!("{kills} kills, {mean} requests repeated per kill (at most {most}, in {most_cells} cells)"));
        findings.check(kills > 0, || "the crawl finished before the first kill".to_owned());
        findings.check(most_cells <= MAX_CELLS_LOST, || format!("{most_cells} cells were lost by one kill"));
        // A batch is written after at most 0.5 s, and writing it may take as long on a slow machine.
        let a_second = in_flight_for(Duration::from_secs(1), latency);
        findings.check(mean <= a_second, || format!("{mean} requests lost by a kill, more than a second's {a_second}"));
    }
}

/// The number of requests in this time, with 5 in flight.
fn in_flight_for(time: Duration, latency: Duration) -> u64 {
    5 * u64::try_from(time.as_millis() / latency.as_millis()).unwrap()
}

/// Kills a crawl around stations.
pub(crate) async fn around_stations(plan: &Plan, findings: &mut Findings) {
    run(plan, &plan.scene, findings).await;
}

/// Kills a crawl in rectangles, some of which are split during the crawl.
pub(crate) async fn in_rectangles(plan: &Plan, findings: &mut Findings) {
    let scene = Scene::new(plan.pick(32, 100), "complete");
    run(plan, &scene, findings).await;
}

/// Kills and restarts the crawl until it finishes.
async fn run(plan: &Plan, scene: &Scene, findings: &mut Findings) {
    let (kills, latency) = (plan.pick(8, 60), Duration::from_millis(plan.pick(50, 100)));
    let expected = scene.undisturbed().await;
    let stage = scene.stage().await;
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
    // On average the requests of about 0.25 s are not recorded yet when the process is killed.
    let typical_loss = in_flight_for(Duration::from_millis(250), latency);
    let mut is_through = false;
    while losses.requests.len() < kills && !is_through {
        let left = (expected.requests * 105 / 100).saturating_sub(before.stored);
        let fair = left / (kills - losses.requests.len()) as u64 + typical_loss;
        let mut crawl = scene.crawl(&stage).start();
        let instant = async {
            if losses.requests.len() % 6 == 5 {
                // Kill by time as well, to hit the opening and resuming of a run, during which there are no requests.
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
        // The kill may come after the end of the run was recorded.
        is_through = stage.value("select bool_or(status = 'succeeded') from crawl_run").await;
        let now = Before::now(&stage).await;
        losses.requests.push((now.arrived - before.arrived) - (now.stored - before.stored));
        losses.cells.push(touched(&stage, before.arrived) - (now.done - before.done));
        before = now;
    }
    if !is_through {
        scene.crawl(&stage).finish().await.expect_code(0);
    }

    scene.check(&stage, findings).await;
    let runs: i64 = stage.value("select count(*) from crawl_run").await;
    findings.check(runs == 1, || format!("{runs} rows of history"));
    losses.report(latency, findings);
}

/// Waits until the server has ended the sessions of a killed process, so that its last transaction is committed or rolled back.
async fn gone(stage: &Stage) {
    let sessions = "select count(*) from pg_stat_activity
        where datname = current_database() and application_name = 'sanggwond'";
    while stage.value::<i64>(sessions).await > 0 {
        // The server does not notify anyone when a session ends, so this polls.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The number of cells that were requested after the first `arrived` requests.
fn touched(stage: &Stage, arrived: u64) -> usize {
    let recorded = stage.standin.recorded();
    let since = recorded.iter().skip(usize::try_from(arrived).unwrap());
    // When a rectangle is read once more, its centre is sent as well. It is still the same cell.
    let area = |one: &Recorded| match one.params.get("rect") {
        Some(rect) => rect.clone(),
        None => format!("{},{}", one.params["x"], one.params["y"]),
    };
    since.map(|one| (one.params["query"].clone(), area(one))).collect::<BTreeSet<_>>().len()
}
