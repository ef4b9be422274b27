//! Names that would lead out of their folder, and links that do: refused or not followed. Nothing outside `runs/` is made or
//! changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use runner::execute::Fake;

use crate::form::{CORES, Form, Row, Skip};
use crate::machine::{self, PATIENCE};
use crate::state::{self, Bytes};
use crate::world::{LEAVES, TRUNK, World, undisturbed};

/// None of these is a name.
const BAD: [&str; 32] = [
    "",
    ".",
    "..",
    "../x",
    "../../canary",
    "a/b",
    "/etc/x",
    "a\\b",
    "..\\x",
    "a\0b",
    "a\nb",
    "a\rb",
    "a\tb",
    "a\u{1b}[31mb",
    "\u{7f}",
    "\u{430}bc",
    "\u{ff54}runk",
    "trun\u{212a}",
    "a\u{202e}b",
    "a\u{200b}b",
    "e\u{301}",
    "\u{e9}",
    "a b",
    " a",
    "a ",
    "con",
    "NUL.x",
    "aux.b",
    "-a",
    ".a",
    "a.",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

/// Where a name stands, and how it is written there.
type Place = (&'static str, fn(&World, &str));

const PLACES: [Place; 9] = [
    ("branch", |world, name| world.write("experiments/leaves.ron", &LEAVES.replace("\"moved\"", name))),
    ("parent", |world, name| world.write("experiments/leaves.ron", &LEAVES.replace("\"trunk@10\"", &at(name, "", "@10")))),
    ("parent's branch", |world, name| {
        world.write("experiments/leaves.ron", &LEAVES.replace("\"trunk@10\"", &at(name, "trunk/", "@10")));
    }),
    ("validation set", |world, name| {
        let set = format!("validation: [(name: {name}, data: Synthetic(source: (length: 7..=8)), spectra: 2)], max_step:");
        world.write("experiments/leaves.ron", &LEAVES.replace("max_step:", &set));
    }),
    ("carried experiment", |world, name| {
        let library = format!("library: (experiments: {{{name}: {TRUNK}}}), max_step:");
        world.write("experiments/leaves.ron", &LEAVES.replace("max_step:", &library));
    }),
    ("carried curriculum", |world, name| {
        let library =
            format!("library: (curricula: {{{name}: (stages: [(from: 0, loss: {{CrossEntropy: 1.0}})])}}), max_step:");
        world.write("experiments/leaves.ron", &LEAVES.replace("max_step:", &library));
    }),
    ("curriculum", |world, name| {
        world.write("experiments/leaves.ron", &LEAVES.replace("File(\"late\")", &format!("File({name})")));
    }),
    ("moved curriculum", |world, name| {
        world.write("experiments/leaves.ron", &LEAVES.replace("of: \"late\"", &format!("of: {name}")));
    }),
    ("reference", |world, name| {
        world.write("experiments/leaves.ron", &LEAVES.replace("max_step:", &format!("reference: {name}, max_step:")));
    }),
];

/// A name as RON writes it, whatever is in it.
fn quoted(name: &str) -> String {
    let escaped = |c: char| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("\\u{{{:x}}}", u32::from(c)) };
    format!("\"{}\"", name.chars().map(escaped).collect::<String>())
}

/// A quoted name with text before and behind it.
fn at(quoted: &str, before: &str, behind: &str) -> String {
    format!("\"{before}{}{behind}\"", quoted.trim_matches('"'))
}

/// A project with a folder beside it that nobody may touch.
struct Watched {
    world: World,
    canary: tempfile::TempDir,
    before: [BTreeMap<String, String>; 2],
}

impl Watched {
    fn new() -> Watched {
        Watched::of(World::new())
    }

    fn of(world: World) -> Watched {
        let canary = machine::folder();
        fs::create_dir(canary.path().join("folder")).unwrap();
        fs::write(canary.path().join("folder/metrics.jsonl"), "{}\n").unwrap();
        fs::write(canary.path().join("file"), "canary\n").unwrap();
        let mut watched = Watched { world, canary, before: [BTreeMap::new(), BTreeMap::new()] };
        watched.before = watched.now();
        watched
    }

    fn now(&self) -> [BTreeMap<String, String>; 2] {
        let project = self.world.path();
        [state::listing(project, &project.join("runs")), state::listing(self.canary.path(), Path::new(""))]
    }

    /// Takes what is there now as what must stay.
    fn settle(&mut self) {
        self.before = self.now();
    }

    /// An error where anything outside `runs/` was made or changed.
    fn untouched(&self) -> Result<(), String> {
        let now = self.now();
        for (before, now) in self.before.iter().zip(&now) {
            let mut keys = before.keys().chain(now.keys());
            if let Some(key) = keys.find(|key| before.get(*key) != now.get(*key)) {
                return Err(format!("`{key}`, outside of runs/, was made or changed"));
            }
        }
        Ok(())
    }
}

pub fn run(form: &Form) -> Result<Row, Skip> {
    let expected = undisturbed();
    let count = (PLACES.len() * BAD.len()) as u64;
    let row = form.trials("name", count, CORES, |number| {
        let ((place, write), name) = (PLACES[number as usize / BAD.len()], BAD[number as usize % BAD.len()]);
        let mut watched = Watched::new();
        write(&watched.world, &quoted(name));
        watched.settle();
        refused(&watched, "leaves").map_err(|what| format!("{name:?} as {place}: {what}"))
    });
    let possible: Vec<&str> = BAD.into_iter().filter(|name| !name.contains(['/', '\0'])).collect();
    let row = row.and(form.trials("file", possible.len() as u64, CORES, |number| {
        let name = possible[number as usize];
        let file = format!("experiments/{name}.ron");
        let mut watched = Watched::new();
        watched.world.write(&file, TRUNK);
        watched.settle();
        refused(&watched, &file).map_err(|what| format!("{name:?} as the name of a file: {what}"))
    }));
    let row = row.and(form.trials("case", 3, CORES, clash));
    let row = row.and(form.trials("sound", 1, CORES, |_| longest_name()));
    let (temporary, lasting): (Vec<Plant>, Vec<Plant>) = plants().into_iter().partition(Plant::is_temporary);
    // One after another: the numbers of the threads to come must be foreseen.
    let row = row.and(links(form, "temporary-link", &temporary, 1, &expected));
    Ok(row.and(links(form, "link", &lasting, CORES, &expected)))
}

fn links(form: &Form, part: &str, plants: &[Plant], at_once: usize, expected: &Bytes) -> Row {
    form.trials(part, plants.len() as u64, at_once, |number| {
        let plant = &plants[number as usize];
        plant.try_out(expected).map_err(|what| format!("{plant:?}: {what}"))
    })
}

/// An error where a run is not refused, or leaves anything behind.
fn refused(watched: &Watched, experiment: &str) -> Result<(), String> {
    let outcome = state::done(watched.world.run(experiment, &Fake::default()));
    watched.untouched()?;
    match outcome {
        Ok(()) => Err("it was not refused".into()),
        Err(message) if message.trim().is_empty() => Err("it was refused without a word".into()),
        Err(_) if watched.world.path().join("runs").exists() => Err("it was refused after `runs/` was made".into()),
        Err(_) => Ok(()),
    }
}

/// Names that differ only in case.
fn clash(number: u64) -> Result<(), String> {
    let world = World::new();
    match number {
        0 => world.write("experiments/leaves.ron", &LEAVES.replace("\"moved\"", "\"Late\"")),
        1 => {
            let set = |name: &str| format!("(name: \"{name}\", data: Synthetic(source: (length: 7..=8)), spectra: 2)");
            let sets = format!("validation: [{}, {}], max_step:", set("easy"), set("Easy"));
            world.write("experiments/leaves.ron", &LEAVES.replace("max_step:", &sets));
        }
        _ => world.write("experiments/Leaves.ron", LEAVES),
    }
    let ended = machine::finish(&mut machine::runner(world.path(), &["check"]), PATIENCE)?;
    ended.civil()?;
    if ended.status.code() == Some(2) { Ok(()) } else { Err(format!("case {number} was not refused: {}", ended.said())) }
}

/// The control: the longest name there may be is none of the bad ones.
fn longest_name() -> Result<(), String> {
    let watched = Watched::new();
    let world = &watched.world;
    world.write("experiments/leaves.ron", &LEAVES.replace("\"moved\"", &quoted(&"x".repeat(64))));
    state::done(world.run("leaves", &Fake::default()))
}

/// Where a link leads.
#[derive(Clone, Copy, Debug, PartialEq)]
enum To {
    /// A folder that is not empty.
    Folder,
    /// A file.
    File,
    /// What is not there and could be made.
    Nothing,
    /// A sound copy of what belongs there.
    Copy,
}

/// A link that leads outside.
#[derive(Clone, Debug)]
struct Plant {
    /// Below the project. `{thread}` stands for each of the next threads.
    at: String,
    to: To,
    /// It stands in place of the folder of a run or of a leaf: it must be refused by name.
    must_refuse: bool,
    /// The run exists already and is to be replaced, by the program itself.
    replace: bool,
}

/// Links in all places where the runner makes something.
fn plants() -> Vec<Plant> {
    let plain = |at: &str, to: To| Plant { at: at.into(), to, must_refuse: false, replace: false };
    let folders = [
        "runs/leaves",
        "runs/trunk",
        "runs/trunk/main",
        "runs/leaves/late",
        "runs/leaves/late/seed-1",
        "runs/leaves/shared",
        "runs/leaves/evaluations",
    ];
    let mut plants: Vec<Plant> =
        folders.iter().map(|at| Plant { must_refuse: *at != "runs/leaves/evaluations", ..plain(at, To::Folder) }).collect();
    // Nothing is left to do in the trunk: a link there need not even be met.
    plants.extend(folders[..5].iter().map(|at| Plant { must_refuse: at.starts_with("runs/leaves"), ..plain(at, To::Copy) }));
    plants.push(plain("runs/.locks", To::Folder));
    plants.extend(["runs/.trash", "runs/.trash/leaves-0"].map(|at| Plant { replace: true, ..plain(at, To::Folder) }));
    plants.push(Plant { replace: true, ..plain("runs/.trash", To::Nothing) });
    // What a run makes, by its names in one that was not disturbed.
    let known = World::new();
    state::done(known.run("leaves", &Fake::default())).unwrap();
    let checkpoints: Vec<String> =
        known.store().inventory().checkpoints.into_values().map(|f| shown(&known, &f.path)).collect();
    let locks = known.named("").into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "lock"));
    for lock in locks.map(|path| shown(&known, &path)) {
        plants.extend([To::File, To::Nothing].map(|to| plain(&lock, to)));
    }
    for at in checkpoints.iter().step_by(5) {
        plants.extend([To::Folder, To::File, To::Nothing, To::Copy].map(|to| plain(at, to)));
    }
    for at in
        ["runs/trunk/main/lost-0-0", "runs/trunk/main/.live-0-00000000", "runs/leaves/leaves.ron", "runs/leaves/record.json"]
    {
        plants.extend([To::Folder, To::File, To::Nothing].map(|to| plain(at, to)));
    }
    let temporary = |path: &str| {
        let (folder, name) = path.rsplit_once('/').unwrap();
        format!("{folder}/.tmp-{name}-{}-ThreadId{{thread}}", std::process::id())
    };
    for path in checkpoints.iter().step_by(3).map(String::as_str).chain(["runs/leaves/leaves.ron", "runs/trunk/record.json"]) {
        plants.extend([To::Folder, To::File, To::Nothing].map(|to| plain(&temporary(path), to)));
    }
    plants
}

/// A path from the project on.
fn shown(world: &World, path: &Path) -> String {
    path.strip_prefix(world.path()).unwrap().to_str().unwrap().to_owned()
}

impl Plant {
    fn is_temporary(&self) -> bool {
        self.at.contains("{thread}")
    }

    fn try_out(&self, expected: &Bytes) -> Result<(), String> {
        let mut watched = Watched::of(World::new());
        let (project, canary) = (watched.world.path().to_path_buf(), watched.canary.path().to_path_buf());
        if self.replace {
            state::done(watched.world.run("leaves", &Fake::default()))?;
        }
        let target = match self.to {
            To::Folder => canary.join("folder"),
            To::File => canary.join("file"),
            To::Nothing => canary.join("new"),
            To::Copy => {
                // The run is made and part of it moved away, as people do when a disk fills.
                state::done(watched.world.run("leaves", &Fake::default()))?;
                let own = project.join(&self.at);
                let copy = canary.join("copy");
                fs::create_dir(&copy).unwrap();
                if own.exists() {
                    machine::copy_folder(&own, &copy);
                    fs::remove_dir_all(&own).unwrap();
                }
                copy
            }
        };
        watched.settle();
        let links: Vec<String> = match self.is_temporary() {
            true => threads_to_come().map(|thread| self.at.replace("{thread}", &thread.to_string())).collect(),
            false => vec![self.at.clone()],
        };
        for link in &links {
            let link = project.join(link);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(&target, &link).unwrap();
        }
        let outcome = if self.replace {
            let mut program = machine::runner(&project, &["run", "leaves", "--replace", "--device", "cpu"]);
            let ended = machine::finish(&mut program, PATIENCE)?;
            ended.civil()?;
            if ended.is_success() { Ok(()) } else { Err(ended.stderr) }
        } else {
            state::done(watched.world.run("leaves", &Fake::default()))
        };
        watched.untouched().map_err(|what| match &outcome {
            Ok(()) => format!("the link was followed: {what}"),
            Err(message) => format!("the link was followed: {what}; and then: {message}"),
        })?;
        match &outcome {
            Ok(()) if self.must_refuse => return Err("the link was not refused".into()),
            Err(message) if self.must_refuse && !(message.contains(&self.at) && message.contains("link")) => {
                return Err(format!("the message does not name the link: {message}"));
            }
            _ => {}
        }
        if self.replace {
            return Ok(());
        }
        for link in links.iter().map(|link| project.join(link)).filter(|link| link.is_symlink()) {
            fs::remove_file(&link).unwrap();
        }
        let own = project.join(&self.at);
        if self.to == To::Copy && !own.exists() {
            // Moved back, as the message asks for.
            fs::create_dir(&own).unwrap();
            machine::copy_folder(&target, &own);
        }
        state::done(watched.world.run("leaves", &Fake::default())).map_err(|what| format!("without the link: {what}"))?;
        state::same(expected, &watched.world).map_err(|what| format!("without the link: {what}"))
    }
}

/// The numbers of this thread and of those that are started next.
fn threads_to_come() -> impl Iterator<Item = u64> {
    let number = |id: std::thread::ThreadId| -> u64 {
        let text = format!("{id:?}");
        text.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    let own = number(std::thread::current().id());
    let next = number(std::thread::spawn(|| std::thread::current().id()).join().unwrap());
    std::iter::once(own).chain(next + 1..next + 60)
}
