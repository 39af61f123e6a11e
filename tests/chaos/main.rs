//! Fault injection: the real binary is killed, suspended, throttled and given faulty responses. Afterwards the tables are
//! compared with those of an undisturbed crawl of the same world.
//!
//! `cargo test --test chaos` runs a short form of each case, `-- --long` the long form. `--seed N` repeats the random numbers of
//! an earlier run, `--list` prints the names of the cases. Any other argument selects the cases whose names contain it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking and prints its measurements and its errors"
)]

mod arguments;
mod budget;
mod chance;
mod daemons;
mod everything;
mod failover;
mod faults;
mod findings;
mod follower;
mod kills;
mod limits;
mod notices;
mod outages;
mod requests;
mod restarts;
mod scene;
mod signals;
#[path = "../support/lib.rs"]
#[expect(dead_code, reason = "some of it is used only by other tests")]
mod support;
mod tables;
mod weeks;
mod year;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use arguments::Arguments;
use findings::Findings;
use scene::Scene;

/// One case.
struct Case {
    name: &'static str,
    run: for<'a> fn(&'a Plan, &'a mut Findings) -> BoxFuture<'a, ()>,
}

const CASES: [Case; 17] = [
    Case { name: "kill -9 at random instants", run: |plan, findings| Box::pin(kills::around_stations(plan, findings)) },
    Case { name: "kill -9 among rectangles", run: |plan, findings| Box::pin(kills::in_rectangles(plan, findings)) },
    Case { name: "kill -9 and a quota of the month", run: |plan, findings| Box::pin(budget::run(plan, findings)) },
    Case { name: "kill -9 and requests", run: |plan, findings| Box::pin(requests::run(plan, findings)) },
    Case { name: "kill -9 and notices", run: |plan, findings| Box::pin(notices::run(plan, findings)) },
    Case { name: "kill -9 and a follower", run: |plan, findings| Box::pin(follower::run(plan, findings)) },
    Case { name: "SIGTERM at random instants", run: |plan, findings| Box::pin(signals::run(plan, findings)) },
    Case { name: "the database restarts", run: |plan, findings| Box::pin(restarts::run(plan, findings)) },
    Case { name: "failover", run: |plan, findings| Box::pin(failover::run(plan, findings)) },
    Case { name: "two daemons", run: |plan, findings| Box::pin(daemons::two(plan, findings)) },
    Case { name: "three daemons", run: |plan, findings| Box::pin(daemons::three(plan, findings)) },
    Case { name: "an unknown limit", run: |plan, findings| Box::pin(limits::run(plan, findings)) },
    Case { name: "an outage of 503", run: |plan, findings| Box::pin(outages::unavailable(plan, findings)) },
    Case { name: "an outage of dropped connections", run: |plan, findings| Box::pin(outages::dropped(plan, findings)) },
    Case { name: "every kind of fault", run: |plan, findings| Box::pin(faults::run(plan, findings)) },
    Case { name: "everything at once", run: |plan, findings| Box::pin(everything::run(plan, findings)) },
    Case { name: "a year of Mondays", run: |plan, findings| Box::pin(year::run(plan, findings)) },
];

/// How the cases are run.
struct Plan {
    is_long: bool,
    seed: u64,
    scene: Scene,
}

impl Plan {
    /// The first in the short form, the second in the long one.
    fn pick<T>(&self, short: T, long: T) -> T {
        if self.is_long { long } else { short }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let names = CASES.map(|case| case.name);
    let arguments = match Arguments::read(std::env::args().skip(1), &names) {
        Ok(arguments) => arguments,
        Err(reason) => {
            eprintln!("{reason}");
            return ExitCode::FAILURE;
        }
    };
    let Arguments { is_long, seed, is_list, .. } = arguments;
    if is_list {
        println!("{}", names.join("\n"));
        return ExitCode::SUCCESS;
    }
    let plan = Plan { is_long, seed, scene: Scene::new(if is_long { 100 } else { 32 }, "station") };
    println!("chaos, {} form, --seed {seed}", plan.pick("short", "long"));
    let mut lines = Vec::new();
    let mut is_good = true;
    for case in CASES.iter().filter(|case| arguments.want(case.name)) {
        let started = Instant::now();
        let mut findings = Findings::default();
        let outcome = AssertUnwindSafe((case.run)(&plan, &mut findings)).catch_unwind().await;
        findings.check(outcome.is_ok(), || "it panicked".to_owned());
        let line = format!(
            "{:<34} {:<6} {:>6.1} s  {findings}",
            case.name,
            findings.verdict(),
            started.elapsed().as_secs_f64()
        );
        println!("{line}");
        findings.failures().iter().for_each(|failure| println!("    {failure}"));
        is_good &= findings.failures().is_empty();
        lines.push(line);
    }
    println!("\n{}", lines.join("\n"));
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
