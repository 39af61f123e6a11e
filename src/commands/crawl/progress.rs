//! What is seen of a crawl while it works: a bar on a terminal, a line every ten seconds elsewhere.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::runner::Runner;

/// How often the bar is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// How often a line is written where there is no terminal.
const LINE: Duration = Duration::from_secs(10);

/// Shows the progress of `runner` until `done`.
pub(super) async fn show(runner: &Runner, bars: &MultiProgress, done: &CancellationToken) {
    if io::stderr().is_terminal() {
        draw(runner, bars, done).await;
    } else {
        tell(runner, done).await;
    }
}

async fn draw(runner: &Runner, bars: &MultiProgress, done: &CancellationToken) {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} cells  {msg}  {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = bars.add(ProgressBar::no_length().with_style(style));
    let mut speed = Speed::new(runner);
    while !is_over(done, REDRAW).await {
        let snapshot = runner.progress.snapshot();
        if snapshot.cells_total == 0 {
            continue;
        }
        bar.set_length(snapshot.cells_total);
        bar.set_position(snapshot.cells_done + snapshot.cells_failed);
        let throttled = runner.client.gate().usage().throttled;
        bar.set_message(format!(
            "{:.0} requests/s  {} places ({} new)  {throttled} throttled  {} failed",
            speed.measure(runner),
            snapshot.documents,
            snapshot.places_new,
            snapshot.cells_failed
        ));
    }
    bar.finish_and_clear();
}

async fn tell(runner: &Runner, done: &CancellationToken) {
    let mut speed = Speed::new(runner);
    while !is_over(done, LINE).await {
        let snapshot = runner.progress.snapshot();
        let throttled = runner.client.gate().usage().throttled;
        let requests_per_second = speed.measure(runner);
        info!(
            run.cells_done = snapshot.cells_done,
            run.cells_failed = snapshot.cells_failed,
            run.places_new = snapshot.places_new,
            requests.per_second = requests_per_second,
            "{} of {} cells done, {requests_per_second:.0} requests/s, {} places ({} new), {throttled} throttled, {} failed",
            snapshot.cells_done,
            snapshot.cells_total,
            snapshot.documents,
            snapshot.places_new,
            snapshot.cells_failed
        );
    }
}

async fn is_over(done: &CancellationToken, pause: Duration) -> bool {
    tokio::time::timeout(pause, done.cancelled()).await.is_ok()
}

/// Requests per second, over the last few seconds.
struct Speed {
    since: Instant,
    requests: u64,
    rate: f64,
}

impl Speed {
    fn new(runner: &Runner) -> Self {
        Self { since: Instant::now(), requests: runner.client.gate().usage().requests, rate: 0.0 }
    }

    fn measure(&mut self, runner: &Runner) -> f64 {
        let elapsed = self.since.elapsed();
        if elapsed >= Duration::from_secs(1) {
            let requests = runner.client.gate().usage().requests;
            #[expect(clippy::cast_precision_loss, reason = "a few thousand requests")]
            let sent = (requests - self.requests) as f64;
            *self = Self { since: Instant::now(), requests, rate: sent / elapsed.as_secs_f64() };
        }
        self.rate
    }
}
