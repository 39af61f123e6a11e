//! Notices that the server of a command is lost. Nothing closes the connections to a machine that has lost its power or its
//! network, so a statement waits for its answer for ever.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{Error, Store};

/// A server that accepts no session for so long is lost.
const SILENCE: Duration = Duration::from_secs(30);

/// Pause before each attempt. Most commands end before the first one.
const PAUSE: Duration = Duration::from_secs(5);

impl Store {
    /// Does some work with the database, unless the server that it began with is lost meanwhile: another primary has been
    /// promoted, or the server accepts no session for 30 s.
    ///
    /// # Errors
    /// When the server is lost, or the work fails.
    pub async fn unless_lost<T, E: From<Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        tokio::select! {
            done = work => done,
            lost = self.until_lost() => Err(lost.into()),
        }
    }

    async fn until_lost(&self) -> Error {
        let hosts = self.target.hosts();
        let began = Instant::now();
        let mut answered = began;
        loop {
            sleep(PAUSE).await;
            let answer = timeout(SILENCE.saturating_sub(answered.elapsed()), hosts.connect()).await;
            if hosts.has_moved_since(began) {
                return Error::replaced();
            }
            // A refusal is an answer, too.
            if answer.is_ok_and(|answer| answer.map_or_else(|cause| cause.code().is_some(), |_| true)) {
                answered = Instant::now();
            } else if answered.elapsed() >= SILENCE {
                return Error::Silent(SILENCE);
            }
        }
    }
}
