//! Crawl runs as they are stored in the run history.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Asia::Seoul;
use serde::{Deserialize, Serialize};

/// The key of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub i64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Defines an enum whose values are stored as text in the database.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// The text in the database.
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
    /// Why a run was started.
    Trigger {
        /// A tick, at most 60 s after it.
        Schedule = "schedule",
        /// A tick, more than 60 s after it.
        CatchUp = "catch_up",
        /// A user started it on the command line.
        Manual = "manual",
        /// A user requested it from the daemons.
        Request = "request",
    }
}

words! {
    /// The status of a run.
    Status {
        /// A process holds the lock and works on it.
        Running = "running",
        /// It stopped before the end and can be resumed.
        Interrupted = "interrupted",
        /// It finished, and every cell is done.
        Succeeded = "succeeded",
        /// It finished, but cells failed or results were held back.
        Partial = "partial",
        /// It ended before it was finished, and is not resumed.
        Failed = "failed",
        /// A user ended it before it was finished.
        Cancelled = "cancelled",
        /// A tick or a request without a run; the reason is recorded.
        Skipped = "skipped",
    }
}

words! {
    /// How the area around the stations is searched.
    Coverage {
        /// One search in a circle around every station; the API returns at most 45 results of each.
        Station = "station",
        /// Searches in rectangles, which are split until every place around the stations is found.
        Complete = "complete",
    }
}

/// A time during which the database was unavailable, so that no run could start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When this process first noticed it.
    pub since: DateTime<Utc>,
    /// The last error of the database.
    pub reason: String,
}

impl Outage {
    /// The reason why a run started late, for the run's row.
    #[must_use]
    pub fn until(&self, now: DateTime<Utc>) -> String {
        let [since, now] = [self.since, now].map(|at| at.with_timezone(&Seoul).format("%Y-%m-%d %H:%M:%S"));
        format!("no run could start from {since} to {now} (Seoul): {}", self.reason)
    }
}

/// The pause before a run is resumed that made no progress the last `stalled` times: none up to 1, then 10 s, doubled each
/// time, at most 30 min.
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
    /// Whether the run may be resumed.
    #[must_use]
    pub fn is_unfinished(self) -> bool {
        matches!(self, Self::Running | Self::Interrupted)
    }
}

/// What a run is limited to. An empty list means no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The names of the stations.
    #[serde(default)]
    pub stations: Vec<String>,
    /// The texts of the keywords.
    #[serde(default)]
    pub keywords: Vec<String>,
    /// The run whose failed cells are read again, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_cells_of: Option<RunId>,
}

impl Scope {
    /// Whether there is no limit.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.stations.is_empty() && self.keywords.is_empty() && self.failed_cells_of.is_none()
    }
}

/// The data of a run that the scheduler needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// Its key.
    pub id: RunId,
    /// Why it was started.
    pub trigger: Trigger,
    /// The tick that it is for.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// Its status.
    pub status: Status,
    /// When it first started; for a skipped tick, when it was recorded.
    pub started_at: DateTime<Utc>,
    /// When its status became final.
    pub finished_at: Option<DateTime<Utc>>,
    /// When a process last worked on it.
    pub heartbeat_at: DateTime<Utc>,
    /// The earliest time to resume it.
    pub resume_at: Option<DateTime<Utc>>,
    /// How often it was resumed.
    pub resumed_count: i32,
    /// Whether it is a full run, without limits.
    pub is_full: bool,
    /// Whether somebody requested it. A daemon resumes such a run even if it is limited, or no run may start by itself.
    pub is_requested: bool,
}

/// The key of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(pub i64);

/// A run that somebody requested from the daemons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRequest {
    /// Its key.
    pub id: RequestId,
    /// What to crawl.
    pub scope: RequestedScope,
    /// Who requested it.
    pub by: String,
}

/// What a request asks for, in the form of `run_request.scope`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedScope {
    /// The names of the stations; empty: all.
    #[serde(default)]
    pub stations: Vec<String>,
    /// The texts of the keywords; empty: all.
    #[serde(default)]
    pub keywords: Vec<String>,
    /// Only the failed cells of the last full run.
    #[serde(default)]
    pub failed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_before_resuming_grows_while_a_run_makes_no_progress() {
        let pauses = [0, 1, 2, 3, 4, 9, 10, 1000].map(|stalled| pause_before_resuming(stalled).num_seconds());

        assert_eq!(pauses, [0, 0, 10, 20, 40, 1280, 1800, 1800]);
    }
}
