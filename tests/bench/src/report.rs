//! The results, as a table for people and as JSON for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::contender::Contender;
use crate::sample::{Sample, median, percentile};
use crate::{Bench, machine};

/// All that was measured.
#[derive(Serialize)]
pub struct Report {
    machine: String,
    load_average: String,
    postgresql: String,
    results: Vec<Line>,
    /// Each the median of the ratios within a round.
    ratios: BTreeMap<&'static str, f64>,
    figures: BTreeMap<&'static str, f64>,
}

/// One contender in one workload, with the medians of its runs.
#[derive(Serialize)]
struct Line {
    workload: &'static str,
    contender: String,
    events: u64,
    runs: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    events_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_ms: Option<f64>,
    seconds: f64,
    cpu_seconds: f64,
    server_cpu_seconds: f64,
    peak_rss_mib: f64,
    samples: Vec<Sample>,
}

/// What several rounds of one workload came to.
#[derive(Default)]
pub struct Rounds(BTreeMap<Contender, Vec<Sample>>);

impl Rounds {
    pub fn add(&mut self, contender: Contender, sample: Sample) {
        self.0.entry(contender).or_default().push(sample);
    }

    pub fn of(&self, contender: Contender) -> &[Sample] {
        self.0.get(&contender).map_or(&[], Vec::as_slice)
    }

    /// The rate of one contender in those of another, round by round.
    pub fn ratio(&self, of: Contender, to: Contender) -> f64 {
        self.ratio_by(of, to, Sample::rate)
    }

    /// What one contender has of something, in those of another, round by round.
    pub fn ratio_by(&self, of: Contender, to: Contender, what: impl Fn(&Sample) -> f64) -> f64 {
        let rounds = self.of(of).iter().zip(self.of(to));
        median(rounds.map(|(of, to)| what(of) / what(to)))
    }

    pub fn peak_rss_mib(&self, of: Contender) -> f64 {
        median(self.of(of).iter().map(|sample| sample.peak_rss_mib))
    }

    pub fn latencies_ms(&self, of: Contender) -> Vec<f64> {
        self.of(of)
            .iter()
            .flat_map(|sample| sample.latencies_ms.iter().copied())
            .collect()
    }
}

impl Report {
    pub async fn new(bench: &Bench) -> anyhow::Result<Report> {
        Ok(Report {
            machine: machine::processor(),
            load_average: machine::load(),
            postgresql: bench.server.version().await?,
            results: Vec::new(),
            ratios: BTreeMap::new(),
            figures: BTreeMap::new(),
        })
    }

    pub fn add(&mut self, workload: &'static str, rounds: &Rounds) {
        for (contender, samples) in &rounds.0 {
            let middle = |of: fn(&Sample) -> f64| median(samples.iter().map(of));
            let latencies = rounds.latencies_ms(*contender);
            let at = |percent| (!latencies.is_empty()).then(|| percentile(&latencies, percent));
            self.results.push(Line {
                workload,
                contender: contender.to_string(),
                events: samples.first().map_or(0, |sample| sample.events),
                runs: samples.len(),
                events_per_second: latencies.is_empty().then(|| middle(Sample::rate)),
                p50_ms: at(50),
                p99_ms: at(99),
                seconds: middle(|sample| sample.seconds),
                cpu_seconds: middle(|sample| sample.cpu_seconds),
                server_cpu_seconds: middle(|sample| sample.server_cpu_seconds),
                peak_rss_mib: middle(|sample| sample.peak_rss_mib),
                samples: samples.clone(),
            });
        }
    }

    pub fn ratio(&mut self, name: &'static str, value: f64) {
        self.ratios.insert(name, value);
    }

    pub fn figure(&mut self, name: &'static str, value: f64) {
        self.figures.insert(name, value);
    }

    /// Writes `results.json`, and says where.
    pub fn write(&self, directory: &Path) -> anyhow::Result<PathBuf> {
        let path = directory.join("results.json");
        fs::write(&path, serde_json::to_string_pretty(self)? + "\n")?;
        Ok(path)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "\n{}, PostgreSQL {}, load average {} at the start; medians of the runs, ratios within a run\n",
            self.machine, self.postgresql, self.load_average
        )?;
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header([
            "workload",
            "contender",
            "events",
            "runs",
            "events/s",
            "p50 ms",
            "p99 ms",
            "s",
            "cpu s",
            "server cpu s",
            "peak MiB",
        ]);
        for line in &self.results {
            let number = |value: Option<f64>, digits: usize| {
                value.map_or(String::new(), |value| format!("{value:.digits$}"))
            };
            table.add_row([
                line.workload.to_owned(),
                line.contender.clone(),
                line.events.to_string(),
                line.runs.to_string(),
                number(line.events_per_second, 0),
                number(line.p50_ms, 2),
                number(line.p99_ms, 2),
                number(Some(line.seconds), 2),
                number(Some(line.cpu_seconds), 2),
                number(Some(line.server_cpu_seconds), 2),
                number(Some(line.peak_rss_mib), 0),
            ]);
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(out, "{table}\n")?;
        for (title, values) in [("ratios", &self.ratios), ("figures", &self.figures)] {
            if !values.is_empty() {
                writeln!(out, "{title}")?;
            }
            for (name, value) in values {
                writeln!(out, "  {name:<32} {value:>8.2}")?;
            }
        }
        Ok(())
    }
}
