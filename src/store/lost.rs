//! Notices that the server of a command is lost. Nothing closes the connections to a machine that has lost its power or its
//! network, so a statement waits for its answer for ever.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{Error, Store};

/// Pause before each probe. Most commands end before the first one.
const PAUSE: Duration = Duration::from_secs(5);

/// Time limit for the answer to a probe, and after how many in a row without an answer the server is lost. They are counted, and
/// not the time between them, because a process may be stopped, or wait for the reader of its output.
const ANSWER: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;

impl Store {
    /// Does some work with the database, unless the server that it began with is lost meanwhile: another primary has been
    /// promoted, or the server has not answered for 30 s.
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
        let mut unanswered = 0;
        while unanswered < PROBES {
            sleep(PAUSE).await;
            let answer = timeout(ANSWER, hosts.probe()).await;
            if hosts.has_moved_since(began) {
                return Error::replaced();
            }
            unanswered = if answer.is_ok_and(|answer| is_alive(&answer)) { 0 } else { unanswered + 1 };
        }
        Error::Silent((PAUSE + ANSWER) * PROBES)
    }
}

/// Whether there is a server. A refusal is an answer, too: it may have no free connection.
fn is_alive(answer: &Result<(), sqlx::Error>) -> bool {
    match answer {
        Err(sqlx::Error::Io(error)) => error.kind() == ErrorKind::ConnectionRefused,
        Ok(()) | Err(_) => true,
    }
}
