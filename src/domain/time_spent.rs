//! Where the time of a run went.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::words::first_few;

/// Wall-clock seconds of a run, by what it waited for. Each moment counts once.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TimeSpent {
    /// A request was in flight, and requests were not paused.
    pub requests_s: f64,
    /// Requests were paused, by the outcome that caused the pause.
    pub pauses_s: BTreeMap<String, f64>,
    /// No request was in flight, and the database was read or written; opening and reviewing the run included.
    pub database_s: f64,
    /// None of the above: open cells waited for the delay between two pages, or for the rate limit.
    pub page_delays_s: f64,
}

/// What a run waits for at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Requests in flight.
    Requests,
    /// The end of a pause, which this outcome caused.
    Pause(&'static str),
    /// The database.
    Database,
    /// The delay between two pages.
    PageDelay,
}

impl TimeSpent {
    /// Adds the time that a wait took.
    pub fn add(&mut self, wait: Wait, took: Duration) {
        let seconds = match wait {
            Wait::Requests => &mut self.requests_s,
            Wait::Pause(cause) => self.pauses_s.entry(cause.to_owned()).or_default(),
            Wait::Database => &mut self.database_s,
            Wait::PageDelay => &mut self.page_delays_s,
        };
        *seconds += took.as_secs_f64();
    }

    /// The parts as text, in whole seconds: `55 s in requests, 2 s in page delays`. Parts below half a second are left out;
    /// `None` if all are.
    #[must_use]
    pub fn describe(&self) -> Option<String> {
        let causes: Vec<String> =
            self.pauses_s.iter().map(|(cause, seconds)| format!("{cause} {seconds:.0} s")).collect();
        let causes: Vec<&str> = causes.iter().map(String::as_str).collect();
        let pauses = format!("pauses ({})", first_few(&causes));
        let parts = [
            (self.requests_s, "requests"),
            (self.pauses_s.values().sum(), pauses.as_str()),
            (self.database_s, "the database"),
            (self.page_delays_s, "page delays"),
        ];
        let shown = parts.into_iter().filter(|(seconds, _)| *seconds >= 0.5);
        let shown: Vec<String> = shown.map(|(seconds, what)| format!("{seconds:.0} s in {what}")).collect();
        (!shown.is_empty()).then(|| shown.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_at_least_half_a_second_are_shown() {
        let mut spent = TimeSpent::default();
        assert_eq!(spent.describe(), None);

        for (wait, seconds) in [
            (Wait::Requests, 40),
            (Wait::Pause("throttled"), 3),
            (Wait::Requests, 15),
            (Wait::Pause("unavailable"), 60),
            (Wait::PageDelay, 2),
        ] {
            spent.add(wait, Duration::from_secs(seconds));
        }
        spent.add(Wait::Database, Duration::from_millis(400));

        let words = "55 s in requests, 63 s in pauses (throttled 3 s, unavailable 60 s), 2 s in page delays";
        assert_eq!(spent.describe().as_deref(), Some(words));
    }
}
