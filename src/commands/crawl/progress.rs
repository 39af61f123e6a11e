//! Shows the progress of a crawl: a progress bar on a terminal, otherwise a log line every 10 s.

mod fit;

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{HumanDuration, MultiProgress, ProgressBar};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::clock;
use crate::commands::text::visible;
use crate::crawl::progress::Snapshot;
use crate::runner::Runner;

/// Interval at which the bar is redrawn.
const REDRAW: Duration = Duration::from_millis(100);

/// Interval of the log lines without a terminal.
const LINE: Duration = Duration::from_secs(10);

/// Shows the progress until `done` is cancelled.
pub(super) async fn show(runner: &Runner, bars: &MultiProgress, done: &CancellationToken) {
    if io::stderr().is_terminal() {
        draw(runner, bars, done).await;
    } else {
        log(runner, done).await;
    }
}

async fn draw(runner: &Runner, bars: &MultiProgress, done: &CancellationToken) {
    let bar = bars.add(ProgressBar::no_length().with_style(fit::message_only()).with_message("opening the run"));
    let (mut speed, mut drawn) = (Speed::new(runner), None);
    while !is_over(done, REDRAW).await {
        let snapshot = runner.progress.snapshot();
        if snapshot.cells_total == 0 {
            bar.tick();
            continue;
        }
        let (columns, pause) = (fit::columns(), runner.client.gate().pause());
        if drawn.is_none() {
            bar.reset_eta();
        }
        // During a pause the bar is hidden, to make room for the reason.
        if drawn.replace((columns, pause.is_some())) != Some((columns, pause.is_some())) {
            bar.set_style(if pause.is_some() { fit::without_bar() } else { fit::with_bar(columns) });
        }
        let position = snapshot.cells_done + snapshot.cells_failed;
        bar.set_length(snapshot.cells_total);
        bar.set_position(position);
        let message = if let Some(pause) = pause {
            visible(&pause.describe(clock::now())).into_owned()
        } else {
            let parts = parts(runner, snapshot, &mut speed, bar.eta());
            fit::beside(&parts, fit::room(columns, position, snapshot.cells_total))
        };
        bar.set_message(message);
    }
    bar.finish_and_clear();
}

/// The texts beside the bar, each with its rank. On a narrow terminal those with the highest rank are omitted first.
fn parts(runner: &Runner, snapshot: Snapshot, speed: &mut Speed, left: Duration) -> [(u8, String); 5] {
    let Snapshot { cells_total, cells_done, cells_failed, places_seen, places_new, .. } = snapshot;
    let left = match cells_total - cells_done - cells_failed {
        0 => "reviewing the results".to_owned(),
        // The speed is unknown before the first cells, and after a pause.
        _ if left.is_zero() => String::new(),
        _ => format!("{} left", HumanDuration(left)),
    };
    let throttled = runner.client.gate().usage().throttled;
    let some = |count: u64, what: &str| if count > 0 { format!("{count} {what}") } else { String::new() };
    [
        (2, format!("{:.0} requests/s", speed.measure(runner))),
        (3, format!("{places_seen} places ({places_new} new)")),
        (4, some(throttled, "throttled")),
        (1, some(cells_failed, "failed")),
        (0, left),
    ]
}

async fn log(runner: &Runner, done: &CancellationToken) {
    let mut speed = Speed::new(runner);
    while !is_over(done, LINE).await {
        let _run = runner.progress.span().entered();
        let Snapshot { cells_total, cells_done, cells_failed, places_seen, places_new, .. } =
            runner.progress.snapshot();
        let throttled = runner.client.gate().usage().throttled;
        let requests_per_second = speed.measure(runner);
        let pause = runner.client.gate().pause().map(|pause| format!("{}; ", pause.describe(clock::now())));
        let pause = pause.unwrap_or_default();
        info!(
            run.cells_done = cells_done,
            run.cells_failed = cells_failed,
            run.places_new = places_new,
            requests.per_second = requests_per_second,
            "{pause}{cells_done} of {cells_total} cells done, {requests_per_second:.0} requests/s, {places_seen} places \
             ({places_new} new), {throttled} throttled, {cells_failed} failed"
        );
    }
}

async fn is_over(done: &CancellationToken, pause: Duration) -> bool {
    tokio::time::timeout(pause, done.cancelled()).await.is_ok()
}

/// The number of requests per second, measured over at least 1 s.
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
