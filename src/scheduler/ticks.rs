//! The cron job. It only wakes the scheduler; it never starts a run itself.

use tokio::sync::mpsc;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;

use crate::domain::schedule::Schedule;

/// Starts a job that sends a message at each tick until `stop` is cancelled.
///
/// The channel holds one message, and further ones are dropped: the scheduler reads the history, so their number does not
/// matter.
pub(super) async fn start(
    schedule: &Schedule,
    wake: mpsc::Sender<()>,
    stop: &CancellationToken,
) -> Result<JobScheduler, JobSchedulerError> {
    let scheduler = JobScheduler::new().await?;
    let stop = stop.clone();
    // Nothing in this closure may panic: a panic would disable the job permanently.
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
