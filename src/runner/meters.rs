//! The Prometheus metrics of the runs.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use chrono::{DateTime, Utc};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Report;
use crate::crawl::progress::Snapshot;
use crate::domain::run::Status;
use crate::store::{Counts, LastRuns, LockHolder};

/// The statuses with which a process can leave a run.
const STATUSES: [Status; 5] =
    [Status::Succeeded, Status::Partial, Status::Failed, Status::Interrupted, Status::Cancelled];

type Label = [(&'static str, &'static str); 1];

/// The metrics of the runs.
#[derive(Debug, Default)]
pub struct Meters {
    runs: Family<Label, Counter>,
    places: Family<Label, Counter>,
    last_success: Gauge,
    last_status: Family<Label, Gauge>,
    active: Gauge,
    started: Gauge,
    usual_seconds: Gauge<f64, AtomicU64>,
    cells: Family<Label, Gauge>,
    places_seen: Gauge,
    quota_left: Gauge,
    next_tick: Gauge,
    schedule_paused: Gauge,
    lock_wait: Gauge<f64, AtomicU64>,
    lock_holder: Family<[(&'static str, String); 4], Gauge>,
}

/// Sets the metrics of the run at work back to 0 when dropped.
#[derive(Debug)]
pub(super) struct Activity<'a>(&'a Meters);

impl Drop for Activity<'_> {
    fn drop(&mut self) {
        self.0.active.set(0);
        self.0.started.set(0);
        self.0.show_progress(Snapshot::default());
    }
}

impl Meters {
    /// Registers the metrics. Every series exists from the start, with the value 0.
    pub fn register(&self, registry: &mut Registry) {
        for status in STATUSES {
            drop(self.runs.get_or_create(&[("status", status.as_str())]));
            drop(self.last_status.get_or_create(&[("status", status.as_str())]));
        }
        for change in ["new", "changed", "closed", "reopened"] {
            drop(self.places.get_or_create(&[("change", change)]));
        }
        self.show_lock_wait(Duration::ZERO, None);
        self.show_progress(Snapshot::default());
        let mut gauge = |name: &str, help: &str, gauge: &Gauge| registry.register(name, help, gauge.clone());
        gauge("run_active", "1 while this process works on a run", &self.active);
        let help = "When the last successful full run finished, from the run history; 0: never";
        gauge("run_last_success_timestamp_seconds", help, &self.last_success);
        gauge("quota_left", "Requests left today or this month, whichever is less (Seoul time)", &self.quota_left);
        gauge("next_tick_timestamp_seconds", "When the next run is due; 0: never", &self.next_tick);
        gauge("run_started_timestamp_seconds", "When this process began to work on its run; 0: none", &self.started);
        gauge("run_places_seen", "Places that the run at work has found", &self.places_seen);
        gauge("schedule_paused", "1 while the schedule is paused (`sanggwond pause`)", &self.schedule_paused);
        registry.register("run_cells", "Cells of the run at work, by state", self.cells.clone());
        let help = "Median duration of the last four full runs; 0: none";
        registry.register("run_usual_duration_seconds", help, self.usual_seconds.clone());
        registry.register("runs", "Runs that this process has executed, by status", self.runs.clone());
        registry.register("places", "Places of these runs, by kind of change", self.places.clone());
        let help = "1 for the status of the last full run, from the run history";
        registry.register("run_last_status", help, self.last_status.clone());
        let help = "How long this process has been waiting for the run lock; 0: not waiting";
        registry.register("lock_wait_seconds", help, self.lock_wait.clone());
        let help = "1 for the database session that holds the run lock while this process waits for it; 0 without labels: not waiting";
        registry.register("lock_holder", help, self.lock_holder.clone());
    }

    /// Shows a run at work until the returned guard is dropped.
    pub(super) fn activity(&self, now: DateTime<Utc>) -> Activity<'_> {
        self.active.set(1);
        self.started.set(now.timestamp());
        Activity(self)
    }

    /// Shows the progress of the run at work.
    pub(super) fn show_progress(&self, snapshot: Snapshot) {
        let Snapshot { cells_total, cells_done, cells_failed, places_seen, .. } = snapshot;
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let pending = cells_total.saturating_sub(cells_done + cells_failed);
        for (state, count) in [("done", cells_done), ("failed", cells_failed), ("pending", pending)] {
            self.cells.get_or_create(&[("state", state)]).set(number(count));
        }
        self.places_seen.set(number(places_seen));
    }

    /// Counts a run and its places.
    pub(super) fn observe(&self, report: &Report) {
        self.runs.get_or_create(&[("status", report.end.status.as_str())]).inc();
        // The counters of an interrupted run are counted when it is finished after its resumption.
        if report.end.status.is_unfinished() {
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

    /// Updates how long the run lock has been waited for, and the session that holds it.
    pub(crate) fn show_lock_wait(&self, waited: Duration, holder: Option<&LockHolder>) {
        self.lock_wait.set(waited.as_secs_f64());
        let labels = holder.map(|holder| {
            let LockHolder { pid, role, address, application } = holder.clone();
            [pid.to_string(), role, address, application]
        });
        // Without a holder the labels are empty, which Prometheus treats as missing.
        let [pid, role, address, application] = labels.unwrap_or_default();
        let labels = [("pid", pid), ("role", role), ("address", address), ("application", application)];
        self.lock_holder.clear();
        self.lock_holder.get_or_create(&labels).set(i64::from(holder.is_some()));
    }

    /// Shows whether the schedule is paused.
    pub(crate) fn show_schedule_pause(&self, is_paused: bool) {
        self.schedule_paused.set(i64::from(is_paused));
    }

    /// Updates the metrics that come from the database.
    pub(super) fn show(&self, last: &LastRuns, quota_left: i64, next_tick: Option<DateTime<Utc>>) {
        let seconds = |instant: Option<DateTime<Utc>>| instant.map_or(0, |instant| instant.timestamp());
        self.last_success.set(seconds(last.succeeded_at));
        self.usual_seconds.set(last.usual_duration_s.unwrap_or(0.0));
        for status in STATUSES {
            let is_last = last.status == Some(status);
            self.last_status.get_or_create(&[("status", status.as_str())]).set(i64::from(is_last));
        }
        self.quota_left.set(quota_left);
        self.next_tick.set(seconds(next_tick));
    }
}
