//! The memory that training takes, estimated before it begins, and what to do where there is not enough.

use crate::history::{History, Root, Settings, Source};
use crate::task::difficulty::Difficulty;
use crate::task::footprint::{Kept, Machine, Shown, kept, waiting};
use crate::task::loss::Loss;
use crate::task::model::Recursive;

/// Bytes of a number.
const NUMBER: u64 = 4;
/// Bytes of the program itself, where it shares a memory with what it trains.
const PROGRAM: u64 = 17_500_000;
/// Vectors as long as all parameters that live as long as training: weights and two moments. The running average is one more.
const STATE: u64 = 3;
/// The same while a checkpoint is saved, beside the state and its copy: the matrices packed and turned, a vector on its way,
/// and the file of the moments.
const SAVING: u64 = 5;
/// Batches in memory at once: those made ahead, the one being made and the one in use.
const BATCHES: u64 = 6;

/// What a stretch of training with one kind of batch takes. An estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    pub batch: u32,
    pub micro_batch: u32,
    /// Whatever the batch, bytes.
    fixed: u64,
    /// For each sample of a batch, bytes.
    waiting: u64,
    /// For each sample of a micro-batch, bytes.
    sample: u64,
    /// For each lane that a micro-batch is cut into, bytes, and the most lanes.
    lane: u64,
    lanes: u64,
}

/// What decides a footprint; few of them in a plan of thousands of spans.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Demand<'a> {
    model: &'a Recursive,
    batch: u32,
    micro_batch: u32,
    averaged: bool,
    shown: Shown,
}

impl<'a> Demand<'a> {
    fn new(root: &'a Root, settings: &Settings) -> Demand<'a> {
        let model = root.model.recursive();
        let shown = Shown {
            peaks: most_peaks(&root.data, &settings.difficulty, model),
            dropout: settings.dropout > 0.0,
            spectrum: settings.losses.contains_key(&Loss::Spectrum),
        };
        let (batch, micro_batch) = (settings.batch, settings.micro_batch.min(settings.batch));
        Demand { model, batch, micro_batch, averaged: settings.ema.is_some(), shown }
    }

    fn footprint(&self, machine: Machine) -> Footprint {
        let Kept { vectors, sample, lane, lanes } = kept(self.model, &self.shown, machine);
        let state = STATE + u64::from(self.averaged);
        // A GPU's memory holds no copy of the state, and no file.
        let saving = if machine == Machine::Cpu { state + SAVING } else { 0 };
        let vectors = self.model.parameter_count() as u64 * NUMBER * (state + vectors.max(saving));
        let waiting = waiting(self.model, &self.shown);
        // On a GPU lies the micro-batch in use; the others wait in the host's memory.
        let (program, waiting, shown) = match machine {
            Machine::Cpu => (PROGRAM, waiting * BATCHES, 0),
            Machine::Gpu => (0, 0, waiting),
        };
        Footprint {
            batch: self.batch,
            micro_batch: self.micro_batch,
            fixed: program + vectors,
            waiting: waiting * NUMBER,
            sample: (sample + shown) * NUMBER,
            lane: lane * NUMBER,
            lanes,
        }
    }
}

impl Footprint {
    pub fn new(root: &Root, settings: &Settings, machine: Machine) -> Footprint {
        Demand::new(root, settings).footprint(machine)
    }

    /// The largest of what histories do, each from a step on.
    pub fn largest<'a>(stretches: impl IntoIterator<Item = (&'a History, u64)>, machine: Machine) -> Option<Footprint> {
        let mut demands: Vec<Demand<'a>> = Vec::new();
        for (history, from) in stretches {
            for settings in history.settings_from(from) {
                let demand = Demand::new(history.root(), settings);
                if !demands.contains(&demand) {
                    demands.push(demand);
                }
            }
        }
        demands.iter().map(|demand| demand.footprint(machine)).max_by_key(Footprint::bytes)
    }

    /// What training takes, bytes.
    pub fn bytes(&self) -> u64 {
        self.with(self.micro_batch)
    }

    /// The same with another micro-batch.
    fn with(&self, micro_batch: u32) -> u64 {
        let micro_batch = u64::from(micro_batch);
        let lanes = micro_batch.min(self.lanes);
        self.fixed + u64::from(self.batch) * self.waiting + micro_batch * self.sample + lanes * self.lane
    }

    /// The largest micro-batch, of those that cut the batch evenly, which is smaller and fits into so many bytes.
    fn fitting(&self, free: u64) -> Option<u32> {
        let parts = (1..=self.batch).map(|count| self.batch.div_ceil(count));
        parts.into_iter().find(|&micro| micro < self.micro_batch && self.with(micro) <= free)
    }

    /// `a batch of 192`, `a micro-batch of 32`.
    fn what(&self) -> String {
        match self.micro_batch < self.batch {
            true => format!("a micro-batch of {}", self.micro_batch),
            false => format!("a batch of {}", self.batch),
        }
    }

    /// `a batch of 192 needs about 41 GB`.
    pub fn need(&self) -> String {
        format!("{} needs about {}", self.what(), about(self.bytes()))
    }

    /// What to say where `at_once` trainings do not fit into what is free on the machine, bytes.
    pub fn warning(&self, at_once: usize, free: u64) -> Option<String> {
        let at_once = at_once.max(1) as u64;
        if self.bytes().saturating_mul(at_once) <= free {
            return None;
        }
        if at_once > 1 && self.bytes() <= free {
            let (all, fit) = (about(self.bytes() * at_once), free / self.bytes());
            return Some(format!(
                "{at_once} segments at once, {} each, need about {all}, {} are free: use `--jobs {fit}`",
                about(self.bytes()),
                about(free)
            ));
        }
        Some(format!("{}, {} are free: {}", self.need(), about(free), self.way_out(free)))
    }

    /// What to say where a device had no memory left: how much that is, the machine does not know.
    pub fn exhausted(&self) -> String {
        format!("the device has no memory left; {}: {}", self.need(), self.way_out(self.bytes().saturating_sub(1)))
    }

    fn way_out(&self, free: u64) -> String {
        match self.fitting(free) {
            Some(micro) => format!("set `micro_batch: {micro}`"),
            None => "no smaller `micro_batch` fits: take a smaller batch, a smaller model or a larger machine".into(),
        }
    }
}

/// Whether a message says that a device's memory was full. What trains says so in words of its own.
pub fn is_out_of_memory(message: &str) -> bool {
    let message = message.to_lowercase();
    ["out of memory", "out of device memory", "out_of_memory", "can't allocate buffer"]
        .iter()
        .any(|sign| message.contains(sign))
}

/// Most peaks that a source's spectra show: those of files may have all that the model keeps.
fn most_peaks(source: &Source, difficulty: &Difficulty, model: &Recursive) -> u32 {
    match source {
        Source::Synthetic { synthetic, .. } => {
            let longest = difficulty.length.1.min(*synthetic.length.end());
            let ions = 2 * u32::from(synthetic.fragment_charges) * longest.saturating_sub(1);
            (ions + difficulty.noise_peaks + difficulty.grass_peaks + difficulty.spike_peaks).min(model.peaks)
        }
        Source::Files(_) => model.peaks,
        Source::Mixture(parts) => {
            parts.iter().map(|(_, part)| most_peaks(part, difficulty, model)).max().unwrap_or(model.peaks)
        }
    }
}

/// Bytes as an estimate is said: `640 MB`, `3.5 GB`, `41 GB`.
pub fn about(bytes: u64) -> String {
    match bytes as f64 / 1e9 {
        gigabytes if gigabytes >= 10.0 => format!("{gigabytes:.0} GB"),
        gigabytes if gigabytes >= 1.0 => format!("{gigabytes:.1} GB"),
        gigabytes => format!("{:.0} MB", gigabytes * 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footprint(micro_batch: u32) -> Footprint {
        let (fixed, waiting, sample) = (1_000_000_000, 1_000_000, 200_000_000);
        Footprint { batch: 192, micro_batch, fixed, waiting, sample, lane: 0, lanes: 0 }
    }

    #[test]
    fn a_batch_that_fits_is_not_spoken_of() {
        assert_eq!(footprint(192).warning(1, 40_000_000_000), None);
        assert_eq!(footprint(192).need(), "a batch of 192 needs about 40 GB");
    }

    #[test]
    fn the_largest_micro_batch_that_fits_is_named() {
        let warning = footprint(192).warning(1, 24_000_000_000).unwrap();
        assert_eq!(warning, "a batch of 192 needs about 40 GB, 24 GB are free: set `micro_batch: 96`");
        let warning = footprint(96).warning(1, 10_000_000_000).unwrap();
        assert!(
            warning.starts_with("a micro-batch of 96 needs about 20 GB") && warning.ends_with("`micro_batch: 39`"),
            "{warning}"
        );
        let hopeless = footprint(192).warning(1, 1_000_000_000).unwrap();
        assert!(hopeless.contains("no smaller `micro_batch` fits"), "{hopeless}");
    }

    #[test]
    fn fewer_at_once_come_before_smaller_ones() {
        let warning = footprint(192).warning(3, 90_000_000_000).unwrap();
        assert_eq!(warning, "3 segments at once, 40 GB each, need about 119 GB, 90 GB are free: use `--jobs 2`");
        assert_eq!(footprint(192).warning(2, 90_000_000_000), None);
    }

    #[test]
    fn a_full_device_is_told_from_other_trouble() {
        for message in
            ["out of device memory allocating 5 bytes", "CUDA_ERROR_OUT_OF_MEMORY", "can't allocate buffer of size: 7"]
        {
            assert!(is_out_of_memory(message), "{message}");
        }
        assert!(!is_out_of_memory("training panicked: index out of bounds"));
        let said = footprint(192).exhausted();
        assert!(said.contains("about 40 GB") && said.ends_with("set `micro_batch: 96`"), "{said}");
    }

    #[test]
    fn sizes_are_rounded_as_an_estimate_is() {
        assert_eq!([640_000_000, 3_450_000_000, 41_200_000_000].map(about), ["640 MB", "3.5 GB", "41 GB"]);
    }
}
