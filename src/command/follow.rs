//! `runner show --follow RUN`: what another process is training, as `run` would show it.

use std::collections::{BTreeMap, HashMap};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar};

use super::context::{Context, Ready};
use super::progress::{LINE_EVERY, Line, Stages, bar, terms};
use super::{Fault, note, print};
use crate::plan::{Owner, Plan};
use crate::record::{MetricsRow, Status, Timing};
use crate::store::Watched;

/// Time between two looks at the files.
const LOOK: Duration = Duration::from_millis(500);

/// A folder in which training is recorded, and the stretches of training in it.
struct Place {
    owner: String,
    folder: PathBuf,
    /// Where the stretches end.
    ends: Vec<u64>,
}

/// Shows what is trained until the run is over, or `stop` says so.
pub(crate) fn follow(context: &Context, ready: &Ready, stop: &dyn Fn() -> bool) -> Result<(), Fault> {
    let places = places(context, ready);
    let stages = Stages::of(ready);
    let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
    let mut shown: HashMap<String, ProgressBar> = HashMap::new();
    let mut said: Option<Instant> = None;
    loop {
        let lines = lines(context, &places);
        match &bars {
            Some(bars) => redraw(bars, &mut shown, &lines, &stages),
            None if said.is_none_or(|said| said.elapsed() > LINE_EVERY) => {
                lines.iter().for_each(|line| note(&line.line().plain(&stages)));
                said = Some(Instant::now());
            }
            None => {}
        }
        let status = context.store.run_record(&ready.name)?.map(|record| record.status);
        if status != Some(Status::Incomplete) || stop() {
            shown.into_values().for_each(|bar| bar.finish_and_clear());
            let status = status.map_or("has not begun".into(), |status| format!("is {status:?}").to_lowercase());
            return print(&format!("`{}` {status}\n", ready.name));
        }
        std::thread::sleep(LOOK);
    }
}

fn places(context: &Context, ready: &Ready) -> Vec<Place> {
    let plan = Plan::new(&ready.resolution.experiments, &ready.name, &Default::default(), &Default::default());
    let mut places: Vec<Place> = Vec::new();
    let mut known: BTreeMap<&Owner, usize> = BTreeMap::new();
    for (owner, node) in plan.owners.iter().zip(&plan.tree.nodes) {
        let place = *known.entry(owner).or_insert_with(|| {
            let folder = match owner {
                Owner::Leaf(key) => context.store.leaf_folder(key),
                Owner::Shared(name) => context.store.shared_folder(name),
            };
            places.push(Place { owner: owner.to_string(), folder, ends: vec![] });
            places.len() - 1
        });
        places[place].ends.push(node.step);
    }
    places
}

/// What can be seen of a stretch now.
struct Seen {
    owner: String,
    from: u64,
    step: u64,
    to: u64,
    terms: String,
    steps_per_second: f64,
    memory_bytes: u64,
}

impl Seen {
    fn new(owner: &str, to: u64, watched: &Watched) -> Seen {
        let row: Option<MetricsRow> = watched.row.as_ref().and_then(|line| serde_json::from_slice(line).ok());
        let timing: Option<Timing> = watched.timing.as_ref().and_then(|line| serde_json::from_slice(line).ok());
        let logged = row.as_ref().map_or(watched.from, |row| row.step + 1);
        Seen {
            owner: owner.to_owned(),
            from: watched.from,
            step: timing.as_ref().map_or(logged, |timing| timing.step.max(logged)),
            to,
            terms: row.map(|row| terms(row.terms.iter().map(|(loss, value)| (loss.name(), *value)))).unwrap_or_default(),
            steps_per_second: timing.as_ref().map_or(0.0, |timing| 1.0 / timing.seconds_per_step.max(1e-9)),
            memory_bytes: timing.map_or(0, |timing| timing.memory_bytes),
        }
    }

    fn line(&self) -> Line<'_> {
        Line {
            owner: &self.owner,
            step: self.step,
            to: self.to,
            steps_per_second: self.steps_per_second,
            terms: &self.terms,
            memory_bytes: self.memory_bytes,
        }
    }
}

/// The stretches in training. Of several in one folder the one is meant in which the live files lie.
fn lines(context: &Context, places: &[Place]) -> Vec<Seen> {
    let line = |place: &Place| {
        let watched = context.store.watch(&place.folder)?;
        let to = *place.ends.iter().find(|to| watched.from < **to)?;
        Some(Seen::new(&place.owner, to, &watched))
    };
    places.iter().filter_map(line).collect()
}

fn redraw(bars: &MultiProgress, shown: &mut HashMap<String, ProgressBar>, lines: &[Seen], stages: &Stages) {
    shown.retain(|owner, bar| {
        let stays = lines.iter().any(|line| line.owner == *owner);
        if !stays {
            bar.finish_and_clear();
        }
        stays
    });
    for line in lines {
        let bar = shown.entry(line.owner.clone()).or_insert_with(|| bar(bars, &line.owner, line.from, line.to));
        bar.set_position(line.step);
        bar.set_message(line.line().message(stages));
    }
}
