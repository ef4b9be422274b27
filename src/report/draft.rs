//! The text of new files, as a person would write them: with comments that say what each field is for.

use super::numbers::underscored;
use super::prose::MOST_NAMES;
use crate::spec::{Branch, CurriculumChoice, Name, Reference, render_ron};

/// An experiment that is to be written.
#[derive(Clone, Debug)]
pub struct ExperimentDraft<'a> {
    pub name: &'a Name,
    pub question: Option<&'a str>,
    pub parent: &'a Reference,
    pub branches: &'a [Branch],
    pub reference: Option<&'a Name>,
    pub clock: Option<(u64, u64)>,
    pub max_step: u64,
    pub seeds: &'a [u64],
}

/// A leaf that is to be trained on.
#[derive(Clone, Debug)]
pub struct TakenOn<'a> {
    pub name: &'a Name,
    /// The checkpoint it goes on from.
    pub parent: &'a Reference,
    /// First digits of the checkpoint's name, where it is a single one.
    pub id: Option<String>,
    /// Seeds of which each goes on as a leaf of its own; none where there is one leaf.
    pub seeds: Vec<u64>,
    pub max_step: u64,
}

/// A fork with branches that are compared.
pub fn experiment_draft(draft: &ExperimentDraft<'_>) -> String {
    let mut out = format!("// {}: say here why it is asked. All fields: docs/grammar.md.\n(\n", draft.name);
    let question = draft.question.map_or_else(|| usual_question(draft.branches), str::to_owned);
    out += &field("question", &format!("{question:?}"));
    out += &comment("Where training starts: a checkpoint of another experiment, `experiment/branch#seed@step`.");
    out += &field("parent", &checkpoint(draft.parent));
    out += &comment("What is compared. `File` is a curriculum in `curricula/`, `Inherit` goes on as the parent did.");
    out += "    branches: [\n";
    for branch in draft.branches {
        out += &format!("        (name: \"{}\", curriculum: {}),\n", branch.name, choice(&branch.curriculum));
    }
    out += "    ],\n";
    if let Some(reference) = reference(draft) {
        out += &comment("The branch that the others are compared with.");
        out += &field("reference", &format!("\"{reference}\""));
    }
    if let Some((multiply, divide)) = draft.clock {
        out += &comment("Steps of the curricula named above are multiplied by the first and divided by the second number.");
        out += &field("clock", &format!("({}, {})", underscored(multiply), underscored(divide)));
    }
    out += &comment("Absolute: the parent's steps count.");
    out += &field("max_step", &underscored(draft.max_step));
    out += &seeds(draft.seeds);
    out += &comment("Left out, and so the parent's: save_every, evaluate_every, log_every, validation, best.");
    out + ")\n"
}

/// A fork of a leaf at its end that goes on as the leaf would have.
pub fn taken_on(draft: &TakenOn<'_>) -> String {
    let TakenOn { name, parent, id, seeds, max_step } = draft;
    let leaf = leaf_of(parent);
    let (from, to) = (underscored(parent.step), underscored(*max_step));
    let id = id.as_ref().map_or(String::new(), |id| format!(", [{id}]"));
    let mut out = format!("// {name}: `{leaf}` taken on from step {from}{id} to {to}, as if it had been trained on.\n");
    if !seeds.is_empty() {
        let list = seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        out +=
            &format!("// Each of its seeds, {list}, goes on as a leaf of its own; `#seed` before the `@` names one of them.\n");
    }
    out += "(\n";
    out += &field("question", &format!("\"How good is {leaf} after {to} steps?\""));
    out += &field("parent", &checkpoint(parent));
    out += &comment("The leaf's own curriculum: its later stages and its learning rate's schedule were there all along.");
    out += &field("curriculum", "Inherit");
    out += &comment("Absolute: the steps so far count.");
    out += &field("max_step", &to);
    out += &comment("Left out, and so the parent's: save_every, evaluate_every, log_every, validation, best.");
    out + ")\n"
}

/// A curriculum to begin with.
pub fn blank_curriculum(name: &Name) -> String {
    format!(
        "// {name}: say here what it is for.\n\
         // A stage governs from its first step until the next one begins. A field left out is neutral, never the previous\n\
         // stage's. All fields: docs/grammar.md. To look at it: `runner show {name} --plot`.\n\
         (stages: [\n\
         \x20   // Cross-entropy alone, on clean spectra of all lengths that the source has.\n\
         \x20   (from: 0, name: \"foundation\", loss: {{CrossEntropy: 1.0}}),\n\
         \x20   // A later stage: take the slashes away, and choose its start, its weights and how hard its spectra are.\n\
         \x20   // (from: 10_000, name: \"spectrum\", loss: {{CrossEntropy: 1.0, Spectrum: 0.1}}, ramp: 1_000,\n\
         \x20   //  data: (length: 7..=12, noise_peaks: 2, peak_dropout: 0.05, mass_error_ppm: 5.0)),\n\
         ])\n"
    )
}

/// A copy of a curriculum, to be changed.
pub fn copied_curriculum(name: &Name, from: &str, text: &str) -> String {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    format!("// {name}: say here what is different. Begun as a copy of `{from}`; what follows is its text.\n{text}{end}")
}

fn comment(text: &str) -> String {
    format!("    // {text}\n")
}

fn field(name: &str, value: &str) -> String {
    format!("    {name}: {value},\n")
}

/// The last branch is the reference where none is named; with a single branch there is nothing to compare.
fn reference<'a>(draft: &ExperimentDraft<'a>) -> Option<&'a Name> {
    let last = draft.branches.last().map(|branch| &branch.name).filter(|_| draft.branches.len() > 1);
    draft.reference.or(last)
}

fn usual_question(branches: &[Branch]) -> String {
    let names: Vec<&str> = branches.iter().map(|branch| branch.name.as_str()).collect();
    match &names[..] {
        [only] => format!("What does {only} come to?"),
        many if many.len() > MOST_NAMES => format!("Which of {} branches is best?", many.len()),
        [before @ .., last] => format!("Which is best: {} or {last}?", before.join(", ")),
        [] => String::new(),
    }
}

fn choice(choice: &CurriculumChoice) -> String {
    match choice {
        CurriculumChoice::File(name) => format!("File(\"{name}\")"),
        CurriculumChoice::Inherit => "Inherit".into(),
        CurriculumChoice::Moved { of, loss, to } => format!("Moved(of: \"{of}\", loss: {loss}, to: {})", underscored(*to)),
        CurriculumChoice::Inline(_) => render_ron(choice).trim_end().to_owned(),
    }
}

fn checkpoint(reference: &Reference) -> String {
    format!("Checkpoint(\"{}@{}\")", leaf_of(reference), underscored(reference.step))
}

/// The reference without its step.
fn leaf_of(reference: &Reference) -> String {
    let text = reference.to_string();
    text.rsplit_once('@').map_or(text.clone(), |(leaf, _)| leaf.to_owned())
}

fn seeds(seeds: &[u64]) -> String {
    let list = seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    match seeds.len() {
        0 => {
            comment("Replicates: three or more seeds show what is noise. Without any, the parent's seed goes on.")
                + &comment("seeds: [1, 2, 3],")
        }
        1 | 2 => {
            comment("Each branch once for each seed. Fewer than three give numbers and no verdict.")
                + &field("seeds", &format!("[{list}]"))
        }
        _ => comment("Each branch once for each seed.") + &field("seeds", &format!("[{list}]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Curriculum, Experiment, Findings, Place, parse};
    use crate::task::loss::Loss;

    fn name(text: &str) -> Name {
        Name::try_from(text).unwrap()
    }

    fn reference_to(text: &str) -> Reference {
        Reference::try_from(text.to_owned()).unwrap()
    }

    fn read(text: &str) -> Experiment {
        let experiment: Experiment = parse(text).unwrap_or_else(|problem| panic!("{problem:?}\n{text}"));
        let mut findings = Findings::default();
        experiment.check(&Place::root(), &mut findings);
        assert!(findings.list.is_empty(), "{:?}\n{text}", findings.list);
        assert!(text.lines().all(|line| line.chars().count() <= 128), "{text}");
        experiment
    }

    #[test]
    fn a_written_experiment_is_what_was_asked_for() {
        let branch = |text: &str, curriculum| Branch { name: name(text), curriculum, change: None };
        let branches = [
            branch("early", CurriculumChoice::File(name("early"))),
            branch("moved", CurriculumChoice::Moved { of: name("phased"), loss: Loss::Precursor, to: 22_500 }),
            branch("control", CurriculumChoice::Inherit),
        ];
        let (this, parent) = (name("timing"), reference_to("trunk/main#2@15000"));
        let mut draft = ExperimentDraft {
            name: &this,
            question: Some("a \"quoted\"\nquestion with \\ and é"),
            parent: &parent,
            branches: &branches,
            reference: None,
            clock: Some((1, 25)),
            max_step: 40_000,
            seeds: &[1, 2, 3],
        };
        let written = read(&experiment_draft(&draft));
        assert_eq!(written.question.as_deref(), draft.question);
        assert_eq!((written.branches.as_slice(), written.seeds.as_slice()), (&branches[..], draft.seeds));
        assert_eq!((written.clock, written.max_step, written.reference), (draft.clock, 40_000, Some(name("control"))));
        assert_eq!(written.parent, crate::spec::Parent::Checkpoint(parent.clone()));
        draft.question = None;
        draft.seeds = &[];
        draft.clock = None;
        let text = experiment_draft(&draft);
        assert_eq!(read(&text).question.as_deref(), Some("Which is best: early, moved or control?"));
        assert!(text.contains("// seeds: [1, 2, 3],") && text.contains("@15_000"), "{text}");
    }

    #[test]
    fn a_leaf_taken_on_inherits() {
        let (this, parent) = (name("winner"), reference_to("timing/phased@40_000"));
        let draft = TakenOn { name: &this, parent: &parent, id: None, seeds: vec![1, 2, 3], max_step: 100_000 };
        let text = taken_on(&draft);
        let written = read(&text);
        assert_eq!((written.curriculum, written.max_step), (Some(CurriculumChoice::Inherit), 100_000));
        assert!(text.starts_with("// winner: `timing/phased` taken on from step 40_000 to 100_000"), "{text}");
        assert!(text.contains("seeds, 1, 2, 3,"), "{text}");
    }

    #[test]
    fn new_curricula_keep_the_rules() {
        let blank = blank_curriculum(&name("mine"));
        let copy = copied_curriculum(&name("mine"), "blank", blank.trim_end());
        for text in [&blank, &copy] {
            let curriculum: Curriculum = parse(text).unwrap();
            let mut findings = Findings::default();
            curriculum.check(&Place::root(), &mut findings);
            assert!(findings.list.is_empty() && curriculum.stages.len() == 1, "{:?}", findings.list);
        }
        // The stage in the comment is one, too.
        let whole: Curriculum =
            parse(&blank.replace("    // (from: 10_000", "    (from: 10_000").replace("    //  data", "     data")).unwrap();
        assert_eq!(whole.stages.len(), 2);
    }
}
