//! One thing under `runs/` is damaged: it is noticed, or nothing that is read has changed; and running on ends with the tensors
//! of an undamaged run, or says which file is wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::RngExt;
use runner::execute::Fake;
use runner::history::Id;
use runner::record::Manifest;
use runner::store::{Inventory, Store};

use crate::form::{CORES, Form, Row, Skip};
use crate::machine;
use crate::state;
use crate::world::{TRUNK, World};

const LIMIT: Duration = Duration::from_secs(30);

/// What is done to a file.
#[derive(Debug)]
enum Blow {
    Flip {
        byte: usize,
        bit: u8,
    },
    Cut {
        to: usize,
    },
    Empty,
    Delete,
    /// Another file, of the same name, takes its place, and it that of the other.
    Swap {
        with: String,
    },
}

/// A file, by its path in the project, and what is done to it.
#[derive(Debug)]
struct Damage {
    file: String,
    blow: Blow,
}

impl Damage {
    fn strike(&self, project: &Path) {
        let path = project.join(&self.file);
        let bytes = || fs::read(&path).unwrap();
        match &self.blow {
            Blow::Flip { byte, bit } => {
                let mut bytes = bytes();
                bytes[*byte] ^= 1_u8 << *bit;
                fs::write(&path, bytes).unwrap();
            }
            Blow::Cut { to } => fs::write(&path, &bytes()[..*to]).unwrap(),
            Blow::Empty => fs::write(&path, "").unwrap(),
            Blow::Delete => fs::remove_file(&path).unwrap(),
            Blow::Swap { with } => {
                let other = project.join(with);
                let (here, there) = (bytes(), fs::read(&other).unwrap());
                fs::write(&path, there).unwrap();
                fs::write(&other, here).unwrap();
            }
        }
    }

    /// Words one of which a message about this damage must have: the checkpoint's folder, or the file.
    fn words(&self) -> Vec<&str> {
        let files = [Some(self.file.as_str()), if let Blow::Swap { with } = &self.blow { Some(with.as_str()) } else { None }];
        files.into_iter().flatten().map(|file| checkpoint_of(file).unwrap_or_else(|| name_of(file))).collect()
    }
}

fn name_of(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

/// `10-b0d88344`, for a file of a checkpoint.
fn checkpoint_of(file: &str) -> Option<&str> {
    file.strip_prefix("runs/trunk/main/")?.split('/').next()
}

pub fn run(form: &Form) -> Result<Row, Skip> {
    let base = World::new();
    state::done(base.run("trunk", &Fake::default())).unwrap();
    let longer = TRUNK.replace("max_step: 20", "max_step: 25");
    let extended = machine::copied(&base);
    extended.write("experiments/trunk.ron", &longer);
    machine::finish(&mut machine::victim(extended.path(), "trunk"), LIMIT).unwrap().success().unwrap();
    let inventory = extended.store().inventory();
    let last = inventory.checkpoints.values().find(|found| found.manifest.step == 25).unwrap();
    let end = End { manifest: last.manifest.clone(), evaluations: View::of(&inventory).evaluations };
    let before = View::of(&base.store().inventory());
    let all = damages(form, base.path());
    let [detected, harmless, went_on, refused] = [const { AtomicU64::new(0) }; 4];
    let mut row = form.trials("damage", all.len() as u64, CORES, |number| {
        let damage = &all[number as usize];
        let world = machine::copied(&base);
        damage.strike(world.path());
        let count = |counter: &AtomicU64| {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        let believed = before.is_detected(&world.store());
        let believed = believed.map(|is_detected| count(if is_detected { &detected } else { &harmless }));
        world.write("experiments/trunk.ron", &longer);
        let on = run_on(&world, damage, &end).map(|is_done| count(if is_done { &went_on } else { &refused }));
        let problems: Vec<String> = [believed.err(), on.err()].into_iter().flatten().collect();
        if problems.is_empty() { Ok(()) } else { Err(format!("{damage:?}: {}", problems.join("; and "))) }
    });
    row.note(format!(
        "{} detected, {} without effect; run on: {} to the same end, {} refused by name",
        detected.into_inner(),
        harmless.into_inner(),
        went_on.into_inner(),
        refused.into_inner()
    ));
    Ok(row)
}

/// What a run that went on has.
struct End {
    manifest: Manifest,
    evaluations: Vec<String>,
}

/// Runs on to the longer end: whether it came there. An error where the end is another one, or the message names no file.
fn run_on(world: &World, damage: &Damage, end: &End) -> Result<bool, String> {
    let ended = machine::finish(&mut machine::victim(world.path(), "trunk"), LIMIT)?;
    ended.civil()?;
    if !ended.is_success() {
        let names_it = damage.words().iter().any(|word| ended.stderr.contains(word));
        return if names_it { Ok(false) } else { Err(format!("it does not say which file is wrong: {}", ended.said())) };
    }
    let store = world.store();
    let inventory = store.inventory();
    let found = inventory.checkpoints.get(&end.manifest.id).ok_or("it ended well, and its end is not there")?;
    store.verify(found).map_err(|error| format!("it ended well, and its end is bad: {error}"))?;
    if found.manifest.tensors != end.manifest.tensors {
        return Err("it ended well, with other tensors".into());
    }
    match View::of(&inventory).evaluations == end.evaluations {
        true => Ok(true),
        false => Err("it ended well, without all evaluations".into()),
    }
}

/// What is believed of what lies under `runs/`. The rest of a checkpoint is proved by its manifest.
struct View {
    checkpoints: BTreeMap<Id, (Manifest, bool)>,
    /// As JSON, sorted.
    evaluations: Vec<String>,
}

impl View {
    fn of(inventory: &Inventory) -> View {
        let known = |found: &runner::store::Found| (found.manifest.clone(), found.has_tensors);
        let mut evaluations: Vec<String> =
            inventory.evaluations.iter().map(|evaluation| serde_json::to_string(evaluation).unwrap()).collect();
        evaluations.sort();
        View { checkpoints: inventory.checkpoints.iter().map(|(id, found)| (*id, known(found))).collect(), evaluations }
    }

    /// Whether something is noticed now, or missing; false where all that is read is as before. An error where something else
    /// is believed than before.
    fn is_detected(&self, store: &Store) -> Result<bool, String> {
        let inventory = store.inventory();
        let now = View::of(&inventory);
        let verified = inventory.checkpoints.values().all(|found| store.verify(found).is_ok());
        let is_gone = |(id, (_, had_tensors)): (&Id, &(Manifest, bool))| {
            now.checkpoints.get(id).is_none_or(|(_, has_tensors)| *had_tensors && !has_tensors)
        };
        let gone = self.checkpoints.iter().any(is_gone) || now.evaluations.len() < self.evaluations.len();
        if !inventory.damaged.is_empty() || !verified || gone {
            return Ok(true);
        }
        if let Some((_, (manifest, _))) = now.checkpoints.iter().find(|(id, known)| self.checkpoints.get(*id) != Some(*known)) {
            return Err(format!("undetected, and another manifest is believed at step {}", manifest.step));
        }
        match self.evaluations == now.evaluations {
            true => Ok(false),
            false => Err("undetected, and another evaluation is believed".into()),
        }
    }
}

/// Everything that is done in this form, in a fixed order.
fn damages(form: &Form, project: &Path) -> Vec<Damage> {
    let files = files(project);
    let bytes: BTreeMap<&str, Vec<u8>> =
        files.iter().map(|file| (file.as_str(), fs::read(project.join(file)).unwrap())).collect();
    let mut random = form.random(0, 0);
    let mut all = Vec::new();
    let every = form.pick(5, 1);
    let first = form.seed as usize % every;
    for (file, bytes) in &bytes {
        let end = match name_of(file) {
            "MANIFEST.json" => bytes.len(),
            name if name.ends_with(".safetensors") => header_length(bytes),
            _ => 0,
        };
        for byte in (first..end).step_by(every) {
            all.push(Damage { file: (*file).into(), blow: Blow::Flip { byte, bit: random.random_range(0..8) } });
        }
    }
    let flipped: Vec<&str> = bytes.keys().copied().filter(|file| is_data(file)).collect();
    for _ in 0..form.pick(60, 2_000) {
        let file = flipped[random.random_range(0..flipped.len())];
        let from = if file.ends_with(".safetensors") { header_length(&bytes[file]) } else { 0 };
        let byte = random.random_range(from..bytes[file].len());
        all.push(Damage { file: file.into(), blow: Blow::Flip { byte, bit: random.random_range(0..8) } });
    }
    for (file, bytes) in bytes.iter().filter(|(_, bytes)| bytes.len() > 3) {
        let lengths = [random.random_range(1..bytes.len() / 2), bytes.len() / 2, bytes.len() - 1];
        let cuts = lengths.map(|to| Blow::Cut { to }).into_iter();
        let with = sibling(file, &files);
        let blows = cuts.chain([Blow::Empty, Blow::Delete]).chain(with.map(|with| Blow::Swap { with }));
        all.extend(blows.map(|blow| Damage { file: (*file).into(), blow }));
    }
    all
}

/// Files under `runs/` that hold something.
fn files(project: &Path) -> Vec<String> {
    let walk = walkdir::WalkDir::new(project.join("runs")).sort_by_file_name().into_iter().map(Result::unwrap);
    let files = walk.filter(|entry| entry.file_type().is_file() && entry.metadata().unwrap().len() > 0);
    files.map(|entry| entry.path().strip_prefix(project).unwrap().to_str().unwrap().to_owned()).collect()
}

fn is_data(file: &str) -> bool {
    let named = ["metrics.jsonl", "history.json", "ledger.bin"].contains(&name_of(file));
    named || file.ends_with(".safetensors") || file.contains("/evaluations/")
}

/// Bytes before the elements of a safetensors file.
fn header_length(bytes: &[u8]) -> usize {
    bytes.first_chunk().map_or(0, |length| (8 + u64::from_le_bytes(*length) as usize).min(bytes.len() - 1))
}

/// The next file that stands for the same thing of another checkpoint.
fn sibling(file: &str, files: &[String]) -> Option<String> {
    let kind = |file: &str| match checkpoint_of(file) {
        Some(checkpoint) => file.replacen(checkpoint, "", 1),
        None => file.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned(),
    };
    let alike: Vec<&String> = files.iter().filter(|other| kind(other) == kind(file) && is_repeated(other)).collect();
    let place = alike.iter().position(|other| *other == file)?;
    let other = alike[(place + 1) % alike.len()];
    (other != file).then(|| other.clone())
}

/// Files of which there are several alike.
fn is_repeated(file: &str) -> bool {
    checkpoint_of(file).is_some() || file.contains("/evaluations/")
}
