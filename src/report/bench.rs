//! What training costs by batch size, as tables.

use serde::Serialize;

use super::numbers::{brief, duration, grouped, size};
use super::style::Style;
use super::table::Table;

/// What was measured of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bench {
    pub experiment: String,
    /// The leaf whose settings were trained.
    pub leaf: String,
    /// Step from which those settings are in force.
    pub settings_from: u64,
    /// What trained, by name.
    pub device: String,
    /// Last step of the leaf, and updates from its first weights to there.
    pub max_step: u64,
    pub steps_of_leaf: u64,
    /// Updates of the whole experiment with its ancestors, each shared one counted once; and those not made yet.
    pub steps_of_plan: u64,
    pub steps_left: u64,
    /// Updates between two checkpoints.
    pub save_every: u64,
    pub rows: Vec<BenchRow>,
    /// Batch sizes that do not fit into memory.
    pub not_tried: Vec<NotTried>,
}

/// One batch size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BenchRow {
    pub batch: u32,
    pub micro_batch: u32,
    /// Updates that were timed.
    pub steps_timed: u64,
    /// With logging, the ledger, and the share of checkpoints.
    pub seconds_per_step: f64,
    pub steps_per_second: f64,
    pub samples_per_second: f64,
    /// From the leaf's first weights to `max_step`, without evaluations.
    pub seconds_of_leaf: f64,
    /// Of all updates that are left, one after the other.
    pub seconds_left: f64,
    /// The most memory it had, bytes: the device's where that has its own.
    pub peak_memory_bytes: u64,
    /// What was predicted, bytes.
    pub predicted_memory_bytes: u64,
    /// Parts of an update; their shares sum to about 1.
    pub parts: Vec<PartTime>,
    /// What a batch takes to make, on a thread of its own: training waits for it only as long as `data` says.
    pub seconds_making_a_batch: f64,
    /// What one checkpoint takes.
    pub seconds_per_checkpoint: f64,
}

/// A part of an update.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartTime {
    pub part: &'static str,
    pub seconds_per_step: f64,
    /// Of the whole update.
    pub share: f64,
}

/// A batch size that was left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NotTried {
    pub batch: u32,
    pub why: String,
}

impl Bench {
    /// The tables, and what their columns mean.
    pub fn shown(&self, style: Style) -> String {
        let mut out = format!(
            "{}: updates of `{}` as from step {} on, on {}\n\n",
            self.experiment,
            self.leaf,
            grouped(self.settings_from),
            self.device
        );
        if !self.rows.is_empty() {
            out += &format!("{}\n{}\n{}", self.speed(style), self.shares(style), self.legend());
        }
        for left in &self.not_tried {
            out += &format!("a batch of {} was left out: {}\n", left.batch, left.why);
        }
        out
    }

    /// How fast, how long, how much memory.
    fn speed(&self, style: Style) -> String {
        let heading = ["batch", "micro", "steps/s", "samples/s", "memory", "predicted", "one leaf", "all left"];
        let mut table = Table::new(heading);
        for row in &self.rows {
            table.row([
                row.batch.to_string(),
                row.micro_batch.to_string(),
                brief(row.steps_per_second),
                brief(row.samples_per_second),
                if row.peak_memory_bytes > 0 { size(row.peak_memory_bytes) } else { "-".into() },
                size(row.predicted_memory_bytes),
                duration(row.seconds_of_leaf),
                duration(row.seconds_left),
            ]);
        }
        table.shown(style)
    }

    /// Where the time of an update goes.
    fn shares(&self, style: Style) -> String {
        let Some(first) = self.rows.first() else { return String::new() };
        let mut table = Table::new(std::iter::once("batch").chain(first.parts.iter().map(|part| part.part)));
        for row in &self.rows {
            let shares = row.parts.iter().map(|part| format!("{:.1} %", part.share * 100.0));
            table.row(std::iter::once(row.batch.to_string()).chain(shares));
        }
        table.shown(style)
    }

    fn legend(&self) -> String {
        let making = self.rows.iter().map(|row| format!("{} s at {}", brief(row.seconds_making_a_batch), row.batch));
        format!(
            "one leaf: {} updates from the first weights to step {}; all left: {} of the experiment's {} updates, one after \
             the other; evaluations come on top\n\
             data: waiting for a batch; making one on its own thread takes {}\n\
             optimizer: with clipping and the running average; checkpoint: its share, one every {} updates\n\
             predicted: an estimate from the shapes of the network\n",
            grouped(self.steps_of_leaf),
            grouped(self.max_step),
            grouped(self.steps_left),
            grouped(self.steps_of_plan),
            making.collect::<Vec<_>>().join(", "),
            grouped(self.save_every),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::columns;

    fn row(batch: u32) -> BenchRow {
        let part = |(part, share): (&'static str, f64)| PartTime { part, seconds_per_step: share * 0.02, share };
        BenchRow {
            batch,
            micro_batch: batch,
            steps_timed: 100,
            seconds_per_step: 0.02,
            steps_per_second: 50.0,
            samples_per_second: 50.0 * f64::from(batch),
            seconds_of_leaf: 32.0,
            seconds_left: 192.0,
            peak_memory_bytes: 45_600_000,
            predicted_memory_bytes: 44_000_000,
            parts: [("data", 0.01), ("forward", 0.39), ("backward", 0.6)].map(part).to_vec(),
            seconds_making_a_batch: 0.0012,
            seconds_per_checkpoint: 0.01,
        }
    }

    fn bench() -> Bench {
        Bench {
            experiment: "precursor_timing".into(),
            leaf: "precursor_timing/early#1".into(),
            settings_from: 1_500,
            device: "the CPU".into(),
            max_step: 1_600,
            steps_of_leaf: 1_600,
            steps_of_plan: 9_600,
            steps_left: 9_600,
            save_every: 200,
            rows: vec![row(8), row(16)],
            not_tried: vec![NotTried { batch: 32, why: "a batch of 32 needs about 41 GB, 24 GB are free".into() }],
        }
    }

    #[test]
    fn columns_stand_below_each_other() {
        let shown = bench().shown(Style::default());
        let expected = "\
            batch  micro  steps/s  samples/s   memory  predicted  one leaf    all left\n    \
                8      8       50        400  45.6 MB    44.0 MB      32 s  3 min 12 s\n   \
               16     16       50        800  45.6 MB    44.0 MB      32 s  3 min 12 s\n";
        assert!(shown.contains(expected), "{shown}");
        assert!(shown.contains("batch   data  forward  backward\n    8  1.0 %   39.0 %    60.0 %\n"), "{shown}");
        assert!(shown.contains("a batch of 32 was left out"), "{shown}");
    }

    #[test]
    fn tables_keep_within_a_terminal() {
        let shown = bench().shown(Style { width: Some(80), colour: false });
        let tables = shown.lines().filter(|line| line.starts_with(' ') || line.starts_with("batch"));
        assert!(tables.clone().count() == 6 && tables.into_iter().all(|line| columns(line) <= 80), "{shown}");
    }

    #[test]
    fn nothing_measured_shows_no_empty_tables() {
        let shown = Bench { rows: vec![], ..bench() }.shown(Style::default());
        assert!(!shown.contains("steps/s") && shown.contains("was left out"), "{shown}");
    }
}
