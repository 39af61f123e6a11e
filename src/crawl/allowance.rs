//! Reserves requests from the quota in the database.
//!
//! Requests are reserved before they are sent, 50 at a time, and unused ones are returned at a clean end. If the process is
//! killed, too many requests stay counted, never too few.

use chrono::NaiveDate;
use tokio::sync::Mutex;
use tracing::warn;

use crate::clock;
use crate::domain::quota::{Quotas, day_of};
use crate::kakao::{Allowance, Error};
use crate::store::Store;
use crate::telemetry::chain;

/// How many requests are reserved at a time.
const RESERVE: u32 = 50;

/// Requests that are reserved for a day and not sent yet.
#[derive(Debug)]
pub struct Reserve {
    store: Store,
    quotas: Quotas,
    left: Mutex<Left>,
}

#[derive(Debug)]
struct Left {
    day: NaiveDate,
    requests: u32,
    /// The generation of the primary when they were reserved.
    generation: u64,
}

impl Reserve {
    /// A reserve without requests.
    #[must_use]
    pub fn new(store: Store, quotas: Quotas) -> Self {
        let left = Mutex::new(Left { day: day_of(clock::now()), requests: 0, generation: store.generation() });
        Self { store, quotas, left }
    }

    /// Returns the unused requests to the database.
    pub async fn close(&self) {
        let mut left = self.left.lock().await;
        self.give_back(&left).await;
        left.requests = 0;
    }

    async fn give_back(&self, left: &Left) {
        // A new primary may not know the reservation.
        if left.requests == 0 || left.generation != self.store.generation() {
            return;
        }
        if let Err(error) = self.store.return_requests(left.day, left.requests).await {
            warn!(error = &error as &dyn std::error::Error, "{} reserved requests stay counted as sent", left.requests);
        }
    }
}

impl Allowance for Reserve {
    async fn take(&self) -> Result<(), Error> {
        let today = day_of(clock::now());
        let mut left = self.left.lock().await;
        if left.day != today {
            self.give_back(&left).await;
            *left = Left { day: today, requests: 0, ..*left };
        }
        if left.requests == 0 {
            left.generation = self.store.generation();
            let reserved = self.store.reserve_requests(today, RESERVE, self.quotas).await;
            let reserved = reserved.map_err(|error| Error::Allowance(chain(&error)))?;
            left.requests = reserved.map_err(Error::AllowanceSpent)?;
        }
        left.requests -= 1;
        Ok(())
    }

    fn put_back(&self) {
        // While another task reserves requests, this one is lost: one request too many stays counted.
        if let Ok(mut left) = self.left.try_lock() {
            left.requests += 1;
        }
    }
}
