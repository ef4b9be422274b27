//! `runner new`: writes an experiment or a curriculum to begin with, or the file that takes a leaf on. Never over a file that
//! is there, and nothing that `check` would refuse.

use std::io::Write;
use std::path::Path;

use super::context::{Context, Ready};
use super::draw::{self, stems};
use super::{Fault, note, print, refer};
use crate::report::{ExperimentDraft, TakenOn, blank_curriculum, copied_curriculum, experiment_draft, taken_on};
use crate::spec::{Branch, Curriculum, CurriculumChoice, Findings, Name, Place, Reference, parse};
use crate::task::loss::Loss;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    kind: Option<Kind>,
    /// Take this leaf on: `experiment/branch#seed` at its end, or one of its checkpoints, `@step`, `@latest` or `@best`
    #[arg(long, value_name = "LEAF", requires = "max_step")]
    from: Option<String>,
    /// The step to which it is taken on
    #[arg(long, value_name = "N", requires = "from")]
    max_step: Option<u64>,
    /// What the new experiment is called [default: after the leaf and the step]
    #[arg(requires = "from")]
    name: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Kind {
    /// Write `experiments/NAME.ron`: branches that leave one checkpoint
    Experiment(ExperimentArgs),
    /// Write `curricula/NAME.ron`
    Curriculum(CurriculumArgs),
}

#[derive(Debug, clap::Args)]
struct ExperimentArgs {
    /// What the experiment is called
    name: String,
    /// The checkpoint it starts from: `experiment/branch#seed@step`, `@latest` or `@best`
    #[arg(long, value_name = "REF")]
    parent: String,
    /// A branch: `NAME=CURRICULUM`, `NAME=inherit`, or `NAME=CURRICULUM:LOSS@STEP` for one loss moved to a step
    #[arg(long = "branch", value_name = "NAME=CURRICULUM", required = true, value_parser = branch)]
    branches: Vec<Branch>,
    /// The absolute step at which every leaf ends
    #[arg(long, value_name = "N")]
    max_step: u64,
    /// Replicates of each branch
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    seeds: Vec<u64>,
    /// Steps of the curricula are multiplied by A and divided by B
    #[arg(long, value_name = "A,B", value_parser = clock)]
    clock: Option<(u64, u64)>,
    /// The branch that the others are compared with [default: the last one]
    #[arg(long, value_name = "NAME", value_parser = name)]
    reference: Option<Name>,
    /// What the experiment is to answer
    #[arg(long, value_name = "TEXT")]
    question: Option<String>,
}

#[derive(Debug, clap::Args)]
struct CurriculumArgs {
    /// What the curriculum is called
    name: String,
    /// A curriculum to copy, by its name or file, or `blank`
    #[arg(long, value_name = "CURRICULUM")]
    from: String,
}

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context::open(directory)?;
    match (&args.kind, &args.from, args.max_step) {
        (Some(_), Some(_), _) => {
            Err(Fault::Arguments("`--from` before `experiment` or `curriculum`: write one of them".into()))
        }
        (Some(Kind::Experiment(args)), None, _) => experiment(&context, args),
        (Some(Kind::Curriculum(args)), None, _) => curriculum(&context, args),
        (None, Some(leaf), Some(max_step)) => take_on(&context, leaf, max_step, args.name.as_deref()),
        _ => {
            let forms = "`experiment NAME ..`, `curriculum NAME ..`, or `--from LEAF --max-step N`; `--help` says more";
            Err(Fault::Arguments(format!("say what to write: {forms}")))
        }
    }
}

fn experiment(context: &Context, args: &ExperimentArgs) -> Result<(), Fault> {
    let called = name(&args.name).map_err(Fault::Arguments)?;
    let parent = checkpoint(context, &args.parent)?;
    let draft = ExperimentDraft {
        name: &called,
        question: args.question.as_deref(),
        parent: &parent,
        branches: &args.branches,
        reference: args.reference.as_ref(),
        clock: args.clock,
        max_step: args.max_step,
        seeds: &args.seeds,
    };
    write_experiment(context, &called, &experiment_draft(&draft))
}

fn curriculum(context: &Context, args: &CurriculumArgs) -> Result<(), Fault> {
    let name = name(&args.name).map_err(Fault::Arguments)?;
    let text = match args.from.as_str() {
        "blank" => blank_curriculum(&name),
        from => {
            let missing = || Fault::Arguments(format!("there is no curriculum `{from}` to copy; `blank` begins with nothing"));
            let known = draw::curriculum_file(context, from)?.ok_or_else(missing)?;
            copied_curriculum(&name, from, &known.text)
        }
    };
    // The copy of a file that keeps the rules keeps them.
    let mut findings = Findings::default();
    let written: Curriculum = parse(&text).map_err(|problem| Fault::World(format!("a draft is wrong: {}", problem.message)))?;
    written.check(&Place::root(), &mut findings);
    if let Some(found) = findings.list.first() {
        return Err(Fault::World(format!("a draft is wrong: {}", found.message)));
    }
    create(context, "curricula", &name, &text)?;
    note(&format!("`runner show {name} --plot` draws it"));
    print(&format!("curricula/{name}.ron\n"))
}

/// A fork of a leaf, or of all seeds of a branch, that goes on as it would have.
fn take_on(context: &Context, leaf: &str, max_step: u64, called: Option<&str>) -> Result<(), Fault> {
    let (parent, id, seeds) = winner(context, leaf)?;
    let usual = || {
        let branch = parent.branch.as_ref().map_or(String::new(), |branch| format!("_{branch}"));
        let seed = parent.seed.map_or(String::new(), |seed| format!("_{seed}"));
        format!("{}{branch}{seed}_to_{max_step}", parent.experiment)
    };
    let called = called.map_or_else(usual, str::to_owned);
    let name = name(&called).map_err(Fault::Arguments)?;
    let draft = TakenOn { name: &name, parent: &parent, id, seeds, max_step };
    write_experiment(context, &name, &taken_on(&draft))
}

/// The checkpoint that a leaf is taken on from, the first digits of its name where it is a single one, and the seeds that
/// share the reference.
fn winner(context: &Context, text: &str) -> Result<(Reference, Option<String>, Vec<u64>), Fault> {
    if text.contains('@') {
        let inventory = context.inventory();
        let referred = refer::checkpoint(context, &inventory, text)?;
        let parent = Reference::try_from(referred.reference()).map_err(Fault::Arguments)?;
        return Ok((parent, Some(referred.found.manifest.id.short()), vec![]));
    }
    let (ready, branch) = refer::experiment(context, text)?;
    let leaf = refer::leaf(&ready, branch, text)?;
    let seeds = if text.contains('#') { vec![] } else { siblings(&ready, &leaf.key.branch) };
    let parent = Reference {
        experiment: leaf.key.experiment.clone(),
        branch: Some(leaf.key.branch.clone()),
        seed: if seeds.is_empty() { leaf.key.seed } else { None },
        step: leaf.history.end(),
    };
    Ok((parent, seeds.is_empty().then(|| leaf.history.id().short()), seeds))
}

/// The seeds of a branch, where there are several.
fn siblings(ready: &Ready, branch: &Name) -> Vec<u64> {
    let own = ready.resolved().leaves.iter().filter(|leaf| leaf.key.branch == *branch);
    let seeds: Vec<u64> = own.filter_map(|leaf| leaf.key.seed).collect();
    if seeds.len() > 1 { seeds } else { vec![] }
}

/// A checkpoint as files name it. What works on the command line alone is looked up.
fn checkpoint(context: &Context, text: &str) -> Result<Reference, Fault> {
    if !text.ends_with("@latest") && !text.ends_with("@best") {
        return Reference::try_from(text.to_owned()).map_err(Fault::Arguments);
    }
    let inventory = context.inventory();
    let reference = refer::checkpoint(context, &inventory, text)?.reference();
    Reference::try_from(reference).map_err(Fault::Arguments)
}

/// Writes an experiment and checks it with all that it names; what has problems is taken away again.
fn write_experiment(context: &Context, name: &Name, text: &str) -> Result<(), Fault> {
    create(context, "experiments", name, text)?;
    let file = context.project.root.join("experiments").join(format!("{name}.ron"));
    match context.ready(&file) {
        Ok(ready) => {
            let notes = &ready.resolved().notes;
            notes.iter().for_each(|found| note(&format!("note: {}: {}", found.leaf.local(), found.text)));
            note(&format!("`runner plan {name}` shows what it would train"));
            print(&format!("experiments/{name}.ron\n"))
        }
        Err(fault) => {
            std::fs::remove_file(&file).map_err(|error| Fault::World(format!("`{}`: {error}", file.display())))?;
            note("nothing was written: the file would not pass `runner check`");
            Err(fault)
        }
    }
}

/// Writes a file that is not there yet.
fn create(context: &Context, folder: &str, name: &Name, text: &str) -> Result<(), Fault> {
    let shown = format!("{folder}/{name}.ron");
    let folder = context.project.root.join(folder);
    if let Some(there) = stems(&folder).into_iter().find(|stem| stem.eq_ignore_ascii_case(name.as_str())) {
        return Err(Fault::Arguments(format!(
            "`{there}` is there already, and files are never written over: choose another name"
        )));
    }
    let world = |error: std::io::Error| Fault::World(format!("`{shown}`: {error}"));
    std::fs::create_dir_all(&folder).map_err(world)?;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(folder.join(format!("{name}.ron")));
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(world)
}

fn name(text: &str) -> Result<Name, String> {
    Name::try_from(text)
}

/// `NAME=CURRICULUM`, `NAME=inherit` or `NAME=CURRICULUM:LOSS@STEP`.
fn branch(text: &str) -> Result<Branch, String> {
    let (called, choice) =
        text.split_once('=').ok_or("write `NAME=CURRICULUM`, or `NAME=inherit` to go on as the parent did")?;
    let curriculum = match choice.split_once(':') {
        None if choice.eq_ignore_ascii_case("inherit") => CurriculumChoice::Inherit,
        None => CurriculumChoice::File(name(choice)?),
        Some((of, moved)) => {
            let (loss, to) = moved.split_once('@').ok_or("write `CURRICULUM:LOSS@STEP` to move one loss")?;
            CurriculumChoice::Moved { of: name(of)?, loss: loss_named(loss)?, to: step(to)? }
        }
    };
    Ok(Branch { name: name(called)?, curriculum, change: None })
}

fn loss_named(text: &str) -> Result<Loss, String> {
    let known = Loss::ALL.into_iter().find(|loss| loss.name().eq_ignore_ascii_case(text));
    known.ok_or_else(|| format!("`{text}` is no loss: write {}", Loss::ALL.map(Loss::name).join(" or ")))
}

/// `A,B`: two whole numbers.
fn clock(text: &str) -> Result<(u64, u64), String> {
    let (multiply, divide) = text.split_once(',').ok_or("write two whole numbers, `1,25`")?;
    Ok((step(multiply)?, step(divide)?))
}

/// A whole number, with or without underscores.
fn step(text: &str) -> Result<u64, String> {
    text.trim().replace('_', "").parse().map_err(|_| format!("`{text}` is no whole number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_read_from_one_word() {
        let read = |text: &str| branch(text).map(|branch| branch.curriculum);
        let of = |text: &str| Name::try_from(text).unwrap();
        assert_eq!(read("a=early"), Ok(CurriculumChoice::File(of("early"))));
        assert_eq!(read("a=Inherit"), Ok(CurriculumChoice::Inherit));
        let moved = CurriculumChoice::Moved { of: of("phased"), loss: Loss::Precursor, to: 22_500 };
        assert_eq!(read("a=phased:precursor@22_500"), Ok(moved));
        for bad in ["early", "=early", "a=", "a=../early", "a=phased:Precursor", "a=phased:Mass@5", "a=phased:Precursor@x"] {
            assert!(branch(bad).is_err(), "{bad}");
        }
        assert_eq!(clock("1,25"), Ok((1, 25)));
        assert!(clock("25").is_err() && clock("1,x").is_err());
    }
}
