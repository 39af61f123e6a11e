//! One execution of the crawl: what its row of history says.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// The key of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct RunId(pub i64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Defines an enum whose values are stored as words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// The word in the database.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl FromStr for $name {
            type Err = ();

            fn from_str(word: &str) -> Result<Self, ()> {
                match word { $($word => Ok(Self::$variant),)* _ => Err(()) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// What made a run start.
    Trigger {
        /// Its tick, at most a minute late.
        Schedule = "schedule",
        /// Its tick, later than that.
        CatchUp = "catch_up",
        /// A person.
        Manual = "manual",
    }
}

words! {
    /// Where a run stands.
    Status {
        /// A process holds the lock and works on it.
        Running = "running",
        /// It stopped before the end and can be resumed.
        Interrupted = "interrupted",
        /// Every cell is done.
        Succeeded = "succeeded",
        /// It is finished, but some cells failed.
        Partial = "partial",
        /// It cannot go on.
        Failed = "failed",
        /// A tick that was not run.
        Skipped = "skipped",
    }
}

words! {
    /// How the ground is covered.
    Coverage {
        /// One circle around every station.
        Station = "station",
        /// Every place around every station, found in rectangles.
        Complete = "complete",
    }
}

/// How long to wait before a run is taken up again that did not get on the last `stalled` times: not at all at first,
/// then 10 s, doubling to half an hour.
#[must_use]
pub fn pause_before_resuming(stalled: i32) -> TimeDelta {
    const FIRST: TimeDelta = TimeDelta::seconds(10);
    const LONGEST: TimeDelta = TimeDelta::minutes(30);
    match stalled {
        ..2 => TimeDelta::zero(),
        2..10 => (FIRST * (1 << (stalled - 2))).min(LONGEST),
        _ => LONGEST,
    }
}

impl Status {
    /// Whether the run may be taken up again.
    #[must_use]
    pub fn is_unfinished(self) -> bool {
        matches!(self, Self::Running | Self::Interrupted)
    }
}

/// The part of the ground that a run by hand is limited to; empty lists mean no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Names of stations.
    #[serde(default)]
    pub stations: Vec<String>,
    /// Queries of keywords.
    #[serde(default)]
    pub keywords: Vec<String>,
}

impl Scope {
    /// Whether everything is crawled.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.stations.is_empty() && self.keywords.is_empty()
    }
}

/// What the scheduler must know of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// Its key.
    pub id: RunId,
    /// What made it start.
    pub trigger: Trigger,
    /// The tick that it serves.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// Where it stands.
    pub status: Status,
    /// When it first started; for a skipped tick, when that was recorded.
    pub started_at: DateTime<Utc>,
    /// When its status became final.
    pub finished_at: Option<DateTime<Utc>>,
    /// From when on it may be resumed.
    pub resume_at: Option<DateTime<Utc>>,
    /// How often it was resumed.
    pub resumed_count: i32,
    /// Whether it covers everything.
    pub is_full: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_does_not_get_on_is_taken_up_less_and_less_often() {
        let pauses = [0, 1, 2, 3, 4, 9, 10, 1000].map(|stalled| pause_before_resuming(stalled).num_seconds());

        assert_eq!(pauses, [0, 0, 10, 20, 40, 1280, 1800, 1800]);
    }
}
