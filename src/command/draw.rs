//! Curricula by name or file, and drawings of what they, or leaves, set over the steps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::context::{Context, Ready, grouped};
use super::diagnostics::Diagnostics;
use super::{Fault, note, print, refer, terminal};
use crate::lineage::Leaf;
use crate::load::{Loaded, TextFile};
use crate::report::{Cell, Chart, Look, Mark, Style, Table, plot, plot_svg, stage_name};
use crate::spec::{Curriculum, Stage, closest};

/// A curriculum that was found, with its text.
pub(crate) struct Known {
    /// Its file as people know it.
    pub shown: String,
    pub text: String,
    pub curriculum: Curriculum,
}

/// What is to be drawn, and how.
pub(crate) struct Drawing<'a> {
    pub what: &'a str,
    /// In the terminal.
    pub plot: bool,
    pub svg: Option<&'a Path>,
    /// Columns in the terminal, where they are not the terminal's own.
    pub width: Option<usize>,
    /// Last step of a curriculum's drawing.
    pub to: Option<u64>,
}

/// Draws a curriculum or a leaf.
pub(crate) fn draw(context: &Context, drawing: &Drawing<'_>) -> Result<(), Fault> {
    let chart = match curriculum(context, drawing.what)? {
        Some(known) => Chart::of_curriculum(&known.shown, &known.curriculum, drawing.to),
        None => {
            let (ready, branch) = refer::experiment(context, drawing.what)?;
            let leaf = refer::leaf(&ready, branch, drawing.what)?;
            Chart::of_history(&leaf.key.to_string(), &leaf.history, marks(&ready, leaf))
        }
    };
    if let Some(file) = drawing.svg {
        std::fs::write(file, plot_svg(&chart)).map_err(|error| Fault::World(format!("`{}`: {error}", file.display())))?;
        note(&format!("drawn into `{}`", file.display()));
    }
    let style = terminal::style();
    let style = Style { width: drawing.width.or(style.width), ..style };
    if drawing.plot { print(&plot(&chart, style)) } else { Ok(()) }
}

/// The curriculum that a text names, as a file or by its name in `curricula/`; nothing where it names something else, or an
/// experiment of the same name.
pub(crate) fn curriculum(context: &Context, what: &str) -> Result<Option<Known>, Fault> {
    let root = &context.project.root;
    let in_folder = |folder: &str| root.join(folder).join(format!("{what}.ron")).is_file();
    let is_path = what.contains('/') || what.ends_with(".ron");
    if !is_path && (in_folder("experiments") || context.store.root().join(what).is_dir()) {
        return Ok(None);
    }
    match candidates(context, what).into_iter().find(|path| path.is_file() && !is_experiment(context, path)) {
        Some(path) => read(context, &path).map(Some),
        None => unknown(root, what),
    }
}

/// The curriculum of that name or file, whatever else has the name.
pub(crate) fn curriculum_file(context: &Context, what: &str) -> Result<Option<Known>, Fault> {
    let file = candidates(context, what).into_iter().find(|path| path.is_file());
    file.map(|path| read(context, &path)).transpose()
}

/// Where a curriculum may lie: under its name, or just where it is written.
fn candidates(context: &Context, what: &str) -> Vec<PathBuf> {
    let root = &context.project.root;
    match what.contains('/') || what.ends_with(".ron") {
        true => vec![std::env::current_dir().unwrap_or_default().join(what), root.join(what)],
        false => vec![root.join("curricula").join(format!("{what}.ron"))],
    }
}

/// Whether a file lies where experiments do.
fn is_experiment(context: &Context, path: &Path) -> bool {
    let folder = path.parent().and_then(Path::file_name);
    folder.is_some_and(|folder| folder == "experiments") || path.starts_with(context.store.root())
}

/// Nothing is found. That a curriculum has nearly this name is said, if no experiment has.
fn unknown(root: &Path, what: &str) -> Result<Option<Known>, Fault> {
    let near = |folder: &str| closest(what, stems(&root.join(folder)).iter().map(String::as_str)).map(str::to_owned);
    let is_name = !what.contains(['/', '#', '@']);
    match near("curricula").filter(|_| is_name && near("experiments").is_none()) {
        None => Ok(None),
        Some(near) => {
            let help = format!("did you mean `curricula/{near}.ron`?");
            Err(Fault::Arguments(format!("`{what}` is neither an experiment nor a curriculum; {help}")))
        }
    }
}

fn read(context: &Context, path: &Path) -> Result<Known, Fault> {
    let shown = path.strip_prefix(&context.project.root).unwrap_or(path).display().to_string();
    let refused = |problems, texts| Fault::Files(Box::new(Diagnostics::new(Loaded { problems, texts, ..Loaded::default() })));
    let mut file = TextFile::read(path, &shown, true).map_err(|problem| refused(vec![problem], BTreeMap::new()))?;
    match file.value(Curriculum::check) {
        Ok(curriculum) => Ok(Known { shown, text: file.text, curriculum }),
        Err(problems) => Err(refused(problems, BTreeMap::from([(shown, file)]))),
    }
}

/// Names of the RON files in a folder, without their ending.
pub(crate) fn stems(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let files = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ending| ending == "ron"));
    let stem = |path: PathBuf| Some(path.file_stem()?.to_string_lossy().into_owned());
    files.filter_map(stem).collect()
}

/// Where the stages begin that govern a leaf, its ancestors' included, and where it and they fork.
fn marks(ready: &Ready, leaf: &Leaf) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut next = Some(leaf);
    let mut end = leaf.history.end();
    while let Some(leaf) = next {
        let own = leaf.own_from();
        let first = leaf.stages.iter().rposition(|stage| stage.from <= own).unwrap_or(0);
        for (index, stage) in leaf.stages.iter().enumerate().skip(first).filter(|(_, stage)| stage.from < end) {
            let is_fork = index == first && leaf.fork.is_some();
            let name = stage_name(stage.name.as_deref(), stage.from);
            let name = if is_fork { format!("fork, {name}") } else { name };
            marks.push(Mark { step: stage.from.max(own), name, is_fork });
        }
        end = own;
        next = leaf.fork.as_ref().and_then(|fork| {
            ready.resolution.experiments.get(&fork.parent.experiment)?.leaves.iter().find(|parent| parent.key == fork.parent)
        });
    }
    marks.sort_by_key(|mark| mark.step);
    marks
}

/// The stages of a curriculum as a table.
pub(crate) fn stages(known: &Known) -> String {
    let mut table = Table::new(["from", "stage", "weights", "ramp", "length", "noise"]);
    for stage in &known.curriculum.stages {
        let weights = stage.loss.iter().filter(|(_, weight)| **weight > 0.0);
        let weights = weights.map(|(loss, weight)| format!("{loss} {weight}")).collect::<Vec<_>>().join(", ");
        let length =
            stage.data.length.as_ref().map_or("-".to_owned(), |length| format!("{}..={}", length.start(), length.end()));
        let ramp = if stage.ramp > 0 { grouped(stage.ramp) } else { "-".to_owned() };
        let noise = noise(stage);
        let look = if noise == "none" { Look::Faint } else { Look::Plain };
        table.row([
            Cell::from(grouped(stage.from)),
            stage.name.as_deref().unwrap_or_default().into(),
            weights.into(),
            ramp.into(),
            length.into(),
            Cell::new(&noise, look),
        ]);
    }
    let style = terminal::style();
    format!("{}\n\n{}", style.paint(Look::Heading, &known.shown), table.shown(style))
}

/// What makes a stage's spectra hard, shortly.
fn noise(stage: &Stage) -> String {
    let data = &stage.data;
    let peaks = [(data.noise_peaks, "noise"), (data.grass_peaks, "grass"), (data.spike_peaks, "spikes")];
    let peaks = peaks.into_iter().filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count} {name}"));
    let percent = |share: f64| format!("{} %", (share * 1_000.0).round() / 10.0);
    let shares = [
        (data.peak_dropout, "left out"),
        (data.signal_suppression, "pressed down"),
        (data.intensity_variation, "intensity"),
        (data.clean_share, "clean"),
    ];
    let shares = shares.into_iter().filter(|(share, _)| *share > 0.0).map(|(share, name)| format!("{} {name}", percent(share)));
    let mass = (data.mass_error_ppm > 0.0).then(|| format!("{} ppm", data.mass_error_ppm));
    let all: Vec<String> = peaks.chain(mass).chain(shares).collect();
    if all.is_empty() { "none".into() } else { all.join(", ") }
}
