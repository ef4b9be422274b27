//! What keeping a ledger and saving checkpoints cost: `cargo bench --bench overhead`.
//!
//! Both variants train the same steps of the laptop experiment in one process, in turns of a few steps, so that a machine
//! that slows down slows both. The median of the turns' ratios is what counts.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use runner::execute::{Executor, Start, Trainee};
use runner::history::History;
use runner::load::{Project, material};
use runner::plan::Material;
use runner::record::{Ledger, State};
use runner::store::{RealDisk, Segment, Store};
use runner::train::{Burn, Choice};

/// Steps of a turn, and turns.
const STEPS: u64 = 10;
const TURNS: usize = 60;
/// The full-size experiments' intervals.
const SAVE_EVERY: f64 = 5_000.0;
const LOG_EVERY: u64 = 100;

/// A network in training, with the ledger where one is kept.
struct Side {
    trainee: Box<dyn Trainee>,
    ledger: Option<Ledger>,
    step: u64,
}

impl Side {
    /// Seconds that a turn took.
    fn turn(&mut self) -> f64 {
        let begun = Instant::now();
        for _ in 0..STEPS {
            let read = self.step.is_multiple_of(LOG_EVERY);
            self.trainee.step(read, &|| false).expect("the step is made");
            self.step += 1;
            if let Some(ledger) = self.ledger.as_mut().filter(|_| read) {
                self.trainee.entries().expect("entries are read").iter().for_each(|entry| ledger.push(entry));
            }
        }
        begun.elapsed().as_secs_f64()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let project = Project { root: Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf() };
    let (mut loaded, name) = project.load(Path::new("ce_baseline")).expect("the shipped experiment is sound");
    let resolution = loaded.resolve(std::slice::from_ref(&name));
    let experiments = loaded.library.experiments.iter().map(|(name, known)| (name.clone(), known.value.clone())).collect();
    let (material, _) = material(&project.root, &experiments, &resolution).expect("its data are drawn");
    let history = resolution.experiments[&name].leaves[0].history.clone();
    let end = (TURNS as u64 + 1) * STEPS;
    let history = history.extend(history.end(), history.spans().iter().cloned(), end.max(history.end()));
    let side = |ledger: bool| side(&history, &material, ledger);
    let (mut with, mut without) = (side(true), side(false));
    let first = with.turn() + without.turn();
    let pairs: Vec<(f64, f64)> = (0..TURNS)
        .map(|turn| match turn % 2 {
            0 => (with.turn(), without.turn()),
            _ => {
                let without = without.turn();
                (with.turn(), without)
            }
        })
        .collect();
    let step = median(pairs.iter().map(|(_, without)| without / STEPS as f64).collect());
    let ratio = median(pairs.iter().map(|(with, without)| with / without).collect());
    println!("first turn {first:.3} s; a step without a ledger: median {:.3} ms over {TURNS} turns", step * 1e3);
    println!("ledger: {:+.2} % of a step (median of the turns' ratios)", (ratio - 1.0) * 100.0);
    println!(
        "ledger: {:.1} % by medians of both sides",
        (median(pairs.iter().map(|p| p.0).collect()) / median(pairs.iter().map(|p| p.1).collect()) - 1.0) * 100.0
    );
    let state = with.trainee.state().expect("the state is read");
    saving(&history.cut(with.step), &state, with.ledger.as_ref(), step);
}

fn side(history: &History, material: &Material, ledger: bool) -> Side {
    let sampler = Arc::clone(&material.samplers[&Material::root_id(history)]);
    let burn = Burn::open(Choice::Cpu).expect("the CPU is there");
    let trainee = burn.start(Start { history, step: 0, state: None, sampler, ledger }).expect("training begins");
    let ledger = ledger.then(|| Ledger::new(0, Ledger::first_chain(history.id()), &trainee.traced()));
    Side { trainee, ledger, step: 0 }
}

/// Time of a whole commit, ledger of 5,000 steps included, against the steps between two.
fn saving(history: &History, state: &State, ledger: Option<&Ledger>, step: f64) {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a folder");
    let store = Store::new(folder.path(), Arc::new(RealDisk));
    let numerics = Burn::open(Choice::Cpu).expect("the CPU is there").numerics();
    let ledger = ledger.expect("one side keeps a ledger").encode();
    let ledger = ledger.repeat((SAVE_EVERY as usize * ledger.len()).div_ceil(history.end() as usize * ledger.len()));
    let commit = |n: u64| {
        let begun = Instant::now();
        let segment = Segment { history, parent: None, numerics: &numerics, metrics: b"", ledger: Some(&ledger), timing: b"" };
        store.commit(&folder.path().join(n.to_string()), &segment, state).expect("the checkpoint is saved");
        begun.elapsed().as_secs_f64()
    };
    let took = median((0..15).map(commit).collect());
    println!(
        "saving: median {:.1} ms with {:.1} MB of ledger, {:.3} % of {SAVE_EVERY} steps",
        took * 1e3,
        ledger.len() as f64 / 1e6,
        took / (step * SAVE_EVERY) * 100.0
    );
}
