//! What is measured of the runs, for whoever watches from outside.

use chrono::{DateTime, Utc};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Report;
use crate::domain::run::Status;
use crate::store::{Counts, LastRuns};

/// The final statuses of a run, and the one that it may be resumed from.
const STATUSES: [Status; 4] = [Status::Succeeded, Status::Partial, Status::Failed, Status::Interrupted];

type Label = [(&'static str, &'static str); 1];

/// The meters of the runs.
#[derive(Debug, Default)]
pub struct Meters {
    runs: Family<Label, Counter>,
    places: Family<Label, Counter>,
    last_success: Gauge,
    last_status: Family<Label, Gauge>,
    active: Gauge,
    quota_left: Gauge,
    next_tick: Gauge,
}

/// A run that is worked on.
#[derive(Debug)]
pub(super) struct Activity<'a>(&'a Gauge);

impl Drop for Activity<'_> {
    fn drop(&mut self) {
        self.0.set(0);
    }
}

impl Meters {
    /// Registers everything, with every series there from the start.
    pub fn register(&self, registry: &mut Registry) {
        for status in STATUSES {
            drop(self.runs.get_or_create(&[("status", status.as_str())]));
            drop(self.last_status.get_or_create(&[("status", status.as_str())]));
        }
        for change in ["new", "changed", "closed", "reopened"] {
            drop(self.places.get_or_create(&[("change", change)]));
        }
        let mut gauge = |name: &str, help: &str, gauge: &Gauge| registry.register(name, help, gauge.clone());
        gauge("run_active", "1 while this process works on a run", &self.active);
        let help = "When the last full run succeeded, as in the history; 0: never";
        gauge("run_last_success_timestamp_seconds", help, &self.last_success);
        gauge("quota_left", "Requests left of the day in Seoul", &self.quota_left);
        gauge("next_tick_timestamp_seconds", "When the next run is due; 0: never", &self.next_tick);
        registry.register("runs", "Runs that this process has worked on, by how they ended", self.runs.clone());
        registry.register("places", "Places of these runs, by what became of them", self.places.clone());
        let help = "1 for the status of the last full run, as in the history";
        registry.register("run_last_status", help, self.last_status.clone());
    }

    /// Shows that a run is worked on, until what is returned is dropped.
    pub(super) fn activity(&self) -> Activity<'_> {
        self.active.set(1);
        Activity(&self.active)
    }

    /// Counts a run.
    pub(super) fn observe(&self, report: &Report) {
        self.runs.get_or_create(&[("status", report.closing.status.as_str())]).inc();
        // A run that was interrupted counts its places again when it goes on.
        if report.closing.status.is_unfinished() {
            return;
        }
        let Counts { places_new, places_changed, places_closed, places_reopened, .. } = report.counts;
        let counts = [
            ("new", places_new),
            ("changed", places_changed),
            ("closed", places_closed),
            ("reopened", places_reopened),
        ];
        for (change, count) in counts {
            self.places.get_or_create(&[("change", change)]).inc_by(u64::from(count.unsigned_abs()));
        }
    }

    /// Takes over what the history says.
    pub(super) fn show(&self, last: &LastRuns, quota_left: u32, next_tick: Option<DateTime<Utc>>) {
        let seconds = |instant: Option<DateTime<Utc>>| instant.map_or(0, |instant| instant.timestamp());
        self.last_success.set(seconds(last.succeeded_at));
        for status in STATUSES {
            let is_last = last.status == Some(status);
            self.last_status.get_or_create(&[("status", status.as_str())]).set(i64::from(is_last));
        }
        self.quota_left.set(i64::from(quota_left));
        self.next_tick.set(seconds(next_tick));
    }
}
