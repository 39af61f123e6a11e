//! The day's quota, as the crawl spends it.
//!
//! Requests are reserved in the database before they are sent, fifty at a time, and what is left is given back at a clean
//! end. A process that dies has reserved too much, never too little, so the day's quota is never undercounted.

use chrono::NaiveDate;
use tokio::sync::Mutex;
use tracing::warn;

use crate::clock;
use crate::kakao::{Allowance, Error, quota};
use crate::store::Store;

/// How many requests are reserved at a time.
const RESERVE: u32 = 50;

/// Requests reserved on a day.
#[derive(Debug)]
pub struct Reserve<'a> {
    store: &'a Store,
    daily_quota: u32,
    left: Mutex<Left>,
}

#[derive(Debug)]
struct Left {
    day: NaiveDate,
    requests: u32,
}

impl<'a> Reserve<'a> {
    /// Begins without any.
    #[must_use]
    pub fn new(store: &'a Store, daily_quota: u32) -> Self {
        let left = Mutex::new(Left { day: quota::day_of(clock::now()), requests: 0 });
        Self { store, daily_quota, left }
    }

    /// Gives back what was not sent.
    pub async fn close(&self) {
        let mut left = self.left.lock().await;
        self.give_back(&left).await;
        left.requests = 0;
    }

    async fn give_back(&self, left: &Left) {
        if left.requests == 0 {
            return;
        }
        if let Err(error) = self.store.return_requests(left.day, left.requests).await {
            warn!(error = &error as &dyn std::error::Error, "{} reserved requests stay counted as sent", left.requests);
        }
    }
}

impl Allowance for Reserve<'_> {
    async fn take(&self) -> Result<(), Error> {
        let today = quota::day_of(clock::now());
        let mut left = self.left.lock().await;
        if left.day != today {
            self.give_back(&left).await;
            *left = Left { day: today, requests: 0 };
        }
        if left.requests == 0 {
            let quotas = (self.daily_quota, quota::MONTHLY);
            let reserved = self.store.reserve_requests(today, RESERVE, quotas).await;
            left.requests = reserved.map_err(|error| Error::Allowance(describe(&error)))?;
        }
        let (day, month) = (self.daily_quota, quota::MONTHLY);
        let spent =
            || Error::AllowanceSpent(format!("{today} in Seoul has had its {day} requests, or its month {month}"));
        left.requests = left.requests.checked_sub(1).ok_or_else(spent)?;
        Ok(())
    }

    fn put_back(&self) {
        // Where somebody reserves right now, one request more than was sent is counted: never too few.
        if let Ok(mut left) = self.left.try_lock() {
            left.requests += 1;
        }
    }
}

fn describe(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
