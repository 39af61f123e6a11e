//! What is left of the data when everything goes wrong: the real binary is killed, stopped, starved and lied to, and
//! afterwards the tables are compared with those of an undisturbed crawl of the same world.
//!
//! `cargo test --test chaos` runs a short form of each case, `-- --long` the long one; `--seed N` repeats the instants of
//! an earlier run, and any other word picks the cases with that word in their name.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

mod chance;
mod daemons;
mod faults;
mod findings;
mod ground;
mod kills;
mod limits;
mod outages;
mod restarts;
mod signals;
#[path = "../support/lib.rs"]
#[expect(dead_code, reason = "some of it serves the other tests only")]
mod support;
mod tables;
mod weeks;
mod year;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use findings::Findings;
use ground::Ground;

/// One case.
struct Case {
    name: &'static str,
    run: for<'a> fn(&'a Plan, &'a mut Findings) -> BoxFuture<'a, ()>,
}

const CASES: [Case; 11] = [
    Case { name: "kill -9 at random instants", run: |plan, findings| Box::pin(kills::around_stations(plan, findings)) },
    Case { name: "kill -9 among rectangles", run: |plan, findings| Box::pin(kills::in_rectangles(plan, findings)) },
    Case { name: "SIGTERM at random instants", run: |plan, findings| Box::pin(signals::run(plan, findings)) },
    Case { name: "the database restarts", run: |plan, findings| Box::pin(restarts::run(plan, findings)) },
    Case { name: "two daemons", run: |plan, findings| Box::pin(daemons::two(plan, findings)) },
    Case { name: "three daemons", run: |plan, findings| Box::pin(daemons::three(plan, findings)) },
    Case { name: "an unknown limit", run: |plan, findings| Box::pin(limits::run(plan, findings)) },
    Case { name: "an outage of 503", run: |plan, findings| Box::pin(outages::unavailable(plan, findings)) },
    Case { name: "an outage of dropped connections", run: |plan, findings| Box::pin(outages::dropped(plan, findings)) },
    Case { name: "every kind of fault", run: |plan, findings| Box::pin(faults::run(plan, findings)) },
    Case { name: "a year of Mondays", run: |plan, findings| Box::pin(year::run(plan, findings)) },
];

/// How the cases are run.
struct Plan {
    is_long: bool,
    seed: u64,
    ground: Ground,
}

impl Plan {
    /// The first in the short form, the second in the long one.
    fn pick<T>(&self, short: T, long: T) -> T {
        if self.is_long { long } else { short }
    }
}

/// What the command line asks for.
struct Arguments {
    is_long: bool,
    seed: u64,
    words: Vec<String>,
}

impl Arguments {
    fn read() -> Self {
        let clock = sanggwond::clock::now().timestamp_micros().unsigned_abs();
        let mut arguments = Self { is_long: false, seed: clock % 1_000_000, words: Vec::new() };
        let mut rest = std::env::args().skip(1);
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--long" => arguments.is_long = true,
                "--seed" => arguments.seed = rest.next().and_then(|seed| seed.parse().ok()).expect("--seed N"),
                // The arguments of the usual test harness mean nothing here.
                unknown if unknown.starts_with("--") => {}
                _ => arguments.words.push(argument),
            }
        }
        arguments
    }

    fn want(&self, case: &Case) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| case.name.contains(word.as_str()))
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::read();
    let Arguments { is_long, seed, .. } = arguments;
    let plan = Plan { is_long, seed, ground: Ground::new(if is_long { 100 } else { 32 }, "station") };
    println!("chaos, {} form, --seed {seed}", plan.pick("short", "long"));
    let mut lines = Vec::new();
    let mut is_good = true;
    for case in CASES.iter().filter(|case| arguments.want(case)) {
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
