//! The metrics of the process itself, under the names that all Prometheus clients use.

use std::fmt;
use std::fs;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// The unit of the times in `/proc/self/stat`: 100 ticks per second on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads the figures at every scrape. A figure that cannot be read is left out.
#[derive(Debug)]
pub(super) struct Process {
    started_at_s: f64,
}

impl Process {
    /// The running process, which has just started.
    pub(super) fn new() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { started_at_s: since.as_secs_f64() }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: Option<f64>| {
            let Some(value) = value else { return Ok(()) };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
        };
        gauge("process_resident_memory", "Memory of the process", Some(&Unit::Bytes), resident_bytes())?;
        gauge("process_start_time", "When the process started", Some(&Unit::Seconds), Some(self.started_at_s))?;
        gauge("process_open_fds", "Files and connections that the process has open", None, open_files())?;
        gauge("process_max_fds", "Maximum number of open files", None, most_files())?;
        if let Some(seconds) = cpu_seconds() {
            let counter = ConstCounter::new(seconds);
            let help = "Processor time of the process";
            counter.encode(encoder.encode_descriptor(
                "process_cpu",
                help,
                Some(&Unit::Seconds),
                counter.metric_type(),
            )?)?;
        }
        Ok(())
    }
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
    Some(kib.trim().parse::<f64>().ok()? * 1024.0)
}

/// User and system time of all threads.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the process before the closing bracket may contain any characters.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

fn open_files() -> Option<f64> {
    // The folder itself is open while it is read.
    let open = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(open).ok().map(f64::from)
}

fn most_files() -> Option<f64> {
    let (soft, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).ok()?;
    u32::try_from(soft).ok().map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_can_be_read_here() {
        assert!(resident_bytes().unwrap() > 1e5);
        assert!(cpu_seconds().unwrap() >= 0.0);
        assert!(open_files().unwrap() >= 3.0);
        assert!(most_files().unwrap() > 10.0);
    }
}
