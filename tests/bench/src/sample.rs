//! What one run of one contender came to.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::machine::Usage;

/// One run. The processor time of the server is added by whoever started the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    pub events: u64,
    pub seconds: f64,
    /// Of the contender's process alone, from the beginning of the measured part.
    pub cpu_seconds: f64,
    /// Of the contender's process, set-up included.
    pub peak_rss_mib: f64,
    #[serde(default)]
    pub server_cpu_seconds: f64,
    /// From send to visible, one an event, where that is what is measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latencies_ms: Vec<f64>,
}

impl Sample {
    /// What has been used since `began`.
    pub fn since(began: &Usage, events: u64) -> anyhow::Result<Sample> {
        Ok(Sample::between(began, &Usage::now()?, events))
    }

    pub fn between(began: &Usage, ended: &Usage, events: u64) -> Sample {
        Sample {
            events,
            seconds: (ended.at - began.at).as_secs_f64(),
            cpu_seconds: ended.cpu_seconds - began.cpu_seconds,
            peak_rss_mib: ended.peak_rss_mib,
            server_cpu_seconds: 0.0,
            latencies_ms: Vec::new(),
        }
    }

    /// Takes what another part of the same run used.
    pub fn add(&mut self, part: &Sample) {
        self.events += part.events;
        self.seconds += part.seconds;
        self.cpu_seconds += part.cpu_seconds;
        self.peak_rss_mib = self.peak_rss_mib.max(part.peak_rss_mib);
        self.server_cpu_seconds += part.server_cpu_seconds;
        self.latencies_ms.extend_from_slice(&part.latencies_ms);
    }

    /// Events a second.
    pub fn rate(&self) -> f64 {
        self.events as f64 / self.seconds
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.latencies_ms.is_empty() {
            write!(out, "{:>9.0} events/s", self.rate())?;
        } else {
            let (p50, p99) = (
                percentile(&self.latencies_ms, 50),
                percentile(&self.latencies_ms, 99),
            );
            write!(out, "p50 {p50:.2} ms, p99 {p99:.2} ms")?;
        }
        write!(
            out,
            "  {:.2} s, cpu {:.2} s, server cpu {:.2} s, {:.0} MiB",
            self.seconds, self.cpu_seconds, self.server_cpu_seconds, self.peak_rss_mib
        )
    }
}

/// The middle one, or the mean of the two in the middle; NaN of nothing.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[length / 2],
        length => f64::midpoint(values[length / 2 - 1], values[length / 2]),
    }
}

/// The smallest value that is not exceeded by so many in a hundred.
pub fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values.get(rank - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::{median, percentile};

    #[test]
    fn takes_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median([]).is_nan());
    }

    #[test]
    fn takes_the_rank() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 50), 100.0);
        assert_eq!(percentile(&values, 99), 198.0);
        assert_eq!(percentile(&[7.0], 99), 7.0);
    }
}
