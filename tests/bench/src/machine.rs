//! What processes use, and what the machine is, as Linux tells it.

use std::fs;
use std::time::Instant;

use anyhow::Context as _;

/// Ticks of a second in /proc; the same on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// Where a process stands.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub at: Instant,
    pub cpu_seconds: f64,
    pub peak_rss_mib: f64,
}

impl Usage {
    /// Of this process.
    pub fn now() -> anyhow::Result<Usage> {
        Usage::of("self")
    }

    pub fn of(process: &str) -> anyhow::Result<Usage> {
        Ok(Usage {
            at: Instant::now(),
            cpu_seconds: cpu_seconds(process)?,
            peak_rss_mib: memory_mib(process, "VmHWM:")?,
        })
    }
}

/// Processor time of a process, in user and system mode.
pub fn cpu_seconds(process: &str) -> anyhow::Result<f64> {
    let fields = stat(process)?;
    Ok((fields[11] + fields[12]) / TICKS_PER_SECOND)
}

/// Processor time of the children that have ended.
pub fn ended_children_cpu_seconds(process: &str) -> anyhow::Result<f64> {
    let fields = stat(process)?;
    Ok((fields[13] + fields[14]) / TICKS_PER_SECOND)
}

/// Processor time of the children that are there.
pub fn children_cpu_seconds(process: &str) -> anyhow::Result<f64> {
    let path = format!("/proc/{process}/task/{process}/children");
    let children = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    // One that has just ended is among those that have.
    let seconds = children
        .split_whitespace()
        .filter_map(|child| cpu_seconds(child).ok());
    Ok(seconds.sum())
}

/// Resident memory of a process: `VmRSS:` now, `VmHWM:` at its peak.
pub fn memory_mib(process: &str, name: &str) -> anyhow::Result<f64> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let kib: f64 = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("{path} has no {name}"))?;
    Ok(kib / 1024.0)
}

/// The numbers after the name of the program, from the state on, which counts as 0.
fn stat(process: &str) -> anyhow::Result<Vec<f64>> {
    let path = format!("/proc/{process}/stat");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("reading {path}; the benchmark needs Linux"))?;
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<f64> = after_name
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    anyhow::ensure!(fields.len() > 14, "{path} is not understood");
    Ok(fields)
}

/// The processor, in words.
pub fn processor() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| {
            rest.trim_start_matches([' ', '\t', ':'])
        });
    format!("{cores} cores of {model}")
}

/// The load average of the last minute: other work on the machine.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .next()
        .unwrap_or("unknown")
        .to_owned()
}
