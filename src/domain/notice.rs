//! What operators are told about full runs.

use std::str::FromStr;

/// What happened to a full run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// It was started.
    Started,
    /// It succeeded, as the one before.
    Success,
    /// It succeeded, after a problem.
    Recovered,
    /// It is partial.
    Partial,
    /// It failed.
    Failed,
    /// A user cancelled it.
    Cancelled,
    /// Its tick was skipped.
    Skipped,
    /// It takes longer than it should.
    Late,
}

/// A text is not the name of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEvent;

/// How operators are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Requests without content that a monitor expects regularly.
    Ping,
    /// Messages.
    Webhook,
}

impl Event {
    /// All events.
    pub const ALL: [Self; 8] = [
        Self::Started,
        Self::Success,
        Self::Recovered,
        Self::Partial,
        Self::Failed,
        Self::Cancelled,
        Self::Skipped,
        Self::Late,
    ];

    /// The events that a ping tells of: how a run began and how it ended.
    pub const OF_PINGS: [Self; 6] =
        [Self::Started, Self::Success, Self::Recovered, Self::Partial, Self::Failed, Self::Cancelled];

    /// Its name in the database and the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Success => "success",
            Self::Recovered => "recovered",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::Late => "late",
        }
    }
}

impl FromStr for Event {
    type Err = UnknownEvent;

    fn from_str(name: &str) -> Result<Self, UnknownEvent> {
        Self::ALL.into_iter().find(|event| event.as_str() == name).ok_or(UnknownEvent)
    }
}

impl Channel {
    /// Its name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Webhook => "webhook",
        }
    }
}
