//! Logs how long operations of the database take, slow ones as warnings.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

/// An operation that takes longer is logged as a warning.
const SLOW: Duration = Duration::from_secs(1);

/// Awaits an operation and logs how long it took: "writing 50 cells took 1.3 s".
pub async fn timed<T>(what: &str, work: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let done = Box::pin(work).await;
    let took = started.elapsed();
    let (duration_ms, seconds) = (took.as_millis(), took.as_secs_f64());
    if took >= SLOW {
        warn!(duration_ms, "{what} took {seconds:.1} s");
    } else {
        debug!(duration_ms, "{what} took {seconds:.3} s");
    }
    done
}
