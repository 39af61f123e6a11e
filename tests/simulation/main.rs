//! Thousands of years of Mondays: the decisions of the scheduler in a simulated world, against an adversary.
//!
//! `cargo test --test simulation` simulates 10,000 years with new random numbers, `-- --years N` another number of them. Each life
//! of an installation has a seed of its own: `-- --seed N` repeats one, and shrinks it to the shortest sequence of events that
//! fails. `--trace` prints each of its steps.

#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test prints what it found, and panics where the simulation itself is wrong"
)]

mod adversary;
mod arguments;
mod audit;
mod history;
mod process;
mod world;

use std::cell::Cell;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::time::Instant;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use adversary::{Event, Life};
use arguments::Arguments;
use world::World;

const DAYS_OF_A_YEAR: i64 = 365;

/// How many of the last steps are shown of a life that fails.
const SHOWN: usize = 30;

fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => return ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            return ExitCode::FAILURE;
        }
    };
    let failure = match arguments.seed {
        Some(seed) => repeat(seed, arguments.is_traced),
        None => many(arguments.years),
    };
    match failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// Repeats the life of a seed; how it fails.
fn repeat(seed: u64, is_traced: bool) -> Option<String> {
    println!("simulation, --seed {seed}");
    if is_traced {
        let (_, life) = life_of(seed).ok()?;
        println!("{}", steps_of(&life.current()).join("\n"));
    }
    match live(seed) {
        Ok((days, steps)) => {
            println!("{days} days, {steps} steps");
            None
        }
        Err(failure) => Some(failure),
    }
}

/// Simulates lives on all processors until they add up to so many years; the first failure.
fn many(years: i64) -> Option<String> {
    let first = sanggwond::clock::now().timestamp_micros().unsigned_abs() % 1_000_000_000 * 1_000_000;
    println!("simulation of {years} years, lives from --seed {first} on");
    let started = Instant::now();
    let (next, days, steps) = (AtomicU64::new(first), AtomicI64::new(0), AtomicU64::new(0));
    let is_over = AtomicBool::new(false);
    let work = || {
        while !is_over.load(Relaxed) {
            match live(next.fetch_add(1, Relaxed)) {
                Ok((lived, taken)) => {
                    steps.fetch_add(taken, Relaxed);
                    let lived = lived + days.fetch_add(lived, Relaxed);
                    is_over.fetch_or(lived >= years * DAYS_OF_A_YEAR, Relaxed);
                }
                Err(failure) => {
                    is_over.store(true, Relaxed);
                    return Some(failure);
                }
            }
        }
        None
    };
    let failure = std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let panicked = || Some("the simulation itself panicked".to_owned());
        workers.into_iter().fold(None, |failure, worker| failure.or(worker.join().unwrap_or_else(|_| panicked())))
    });
    println!(
        "{} years in {} lives, {} steps, {:.1} s",
        days.load(Relaxed) / DAYS_OF_A_YEAR,
        next.load(Relaxed) - first,
        steps.load(Relaxed),
        started.elapsed().as_secs_f64()
    );
    failure
}

/// The life of a seed, which can be shrunk.
fn life_of(seed: u64) -> Result<(TestRunner, impl ValueTree<Value = Life>), String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config =
        Config { failure_persistence: None, max_shrink_iters: 1_000_000, max_shrink_time: 20_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let life = adversary::life().new_tree(&mut runner).map_err(|reason| reason.to_string())?;
    Ok((runner, life))
}

/// Each step of a life.
fn steps_of(life: &Life) -> Vec<String> {
    let mut steps = Vec::new();
    World::live(life, Some(&mut steps)).ok();
    steps
}

/// Lives the life of a seed: its days and steps, or the shortest sequence of events that fails in the same life.
fn live(seed: u64) -> Result<(i64, u64), String> {
    let (mut runner, life) = life_of(seed)?;
    let lived = Cell::new((0, 0));
    let test = |life: Life| {
        let (time, steps) = World::live(&life, None).map_err(TestCaseError::fail)?;
        lived.set((time.num_days(), steps));
        Ok(())
    };
    match runner.run_one(life, test) {
        Ok(_) => Ok(lived.get()),
        Err(TestError::Fail(reason, life)) => {
            let mut steps = steps_of(&life);
            let steps = steps.split_off(steps.len().saturating_sub(SHOWN)).join("\n");
            let Life { settings, events } = life;
            let event = |Event { when, what }: &Event| format!("  {when:?}: {what:?}\n");
            let events: String = events.iter().map(event).collect();
            Err(format!("--seed {seed} fails: {reason}\n{settings:?}\n{events}the last steps:\n{steps}"))
        }
        Err(TestError::Abort(reason)) => Err(format!("--seed {seed}: {reason}")),
    }
}
