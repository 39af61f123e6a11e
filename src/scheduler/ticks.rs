//! The cron job, a source of ticks and nothing else.

use tokio::sync::mpsc;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;

use crate::domain::schedule::Schedule;

/// Starts a job that sends a word at each tick until `stop` fires.
///
/// A word that finds one waiting is dropped: whoever wakes looks at the history, not at the number of words.
pub(super) async fn start(
    schedule: &Schedule,
    wake: mpsc::Sender<()>,
    stop: &CancellationToken,
) -> Result<JobScheduler, JobSchedulerError> {
    let scheduler = JobScheduler::new().await?;
    let stop = stop.clone();
    // Nothing in here can fail: a panic in the closure would end the job for good.
    let job = Job::new_async_tz(schedule.expression(), schedule.zone(), move |_, _| {
        let is_wanted = !stop.is_cancelled();
        let wake = wake.clone();
        Box::pin(async move {
            if is_wanted {
                wake.try_send(()).ok();
            }
        })
    })?;
    scheduler.add(job).await?;
    scheduler.start().await?;
    Ok(scheduler)
}
