//! docs/grammar.md against the code: the same fields and choices, the same defaults, and examples that work.
//!
//! The code is asked through its reader: a field that does not exist is refused with the list of those that do. So a field
//! that is added to the code and not to the document fails here, and the other way round.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ron::Error;
use runner::lineage::Resolved;
use runner::load::Project;
use runner::spec::{
    Branch, Change, Curriculum, CurriculumChoice, Decide, Experiment, Findings, Imported, Library, Mgf, MgfSet, Model,
    Optimizer, Parent, Part, Place, Precision, Rate, Recorded, RecordedEnd, Scratch, Source, Stage, StageData, Supervision,
    Training, Validation, ValidationData, options, parse,
};
use runner::task::loss::Loss;
use runner::task::model::Recursive;
use runner::task::preprocess::Preprocessing;
use runner::task::synthetic::Synthetic;
use runner::task::tokens::Modification;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const RECURSIVE: &str = "Recursive(hidden: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, supervision_steps: 1, \
                         latent_steps: 1, peaks: 20, length: 12)";
const SYNTHETIC: &str = "Synthetic(length: 7..=10)";
const TRAINING: &str = "(batch: 4, lr: Constant(rate: 1e-3))";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn document() -> String {
    fs::read_to_string(root().join("docs/grammar.md")).unwrap()
}

/// A value read and written as JSON, so that two values can be compared field by field, or why it cannot be read.
type Reader = fn(&str) -> Result<Value, Error>;

fn read<T: DeserializeOwned + Serialize>(text: &str) -> Result<Value, Error> {
    let value: T = options().from_str(text).map_err(|error| error.code)?;
    Ok(serde_json::to_value(value).unwrap())
}

/// Something with fields: how it is read, what stands before its bracket, and the fields it must have.
struct Fields {
    section: &'static str,
    reader: Reader,
    before: &'static str,
    required: Vec<(&'static str, String)>,
}

fn fields<T: DeserializeOwned + Serialize>(
    section: &'static str,
    before: &'static str,
    required: &[(&'static str, &str)],
) -> Fields {
    let required = required.iter().map(|&(field, value)| (field, value.to_owned())).collect();
    Fields { section, reader: read::<T>, before, required }
}

/// Everything with fields, by the section that describes it.
fn all_fields() -> Vec<Fields> {
    let root = [("model", RECURSIVE), ("data", SYNTHETIC), ("training", TRAINING)];
    let imported = [&[("file", "\"a.safetensors\""), ("step", "5")][..], &root].concat();
    let rate_up = [("peak", "1.0"), ("warm_up", "4")];
    let stable = [&rate_up[..], &[("decay_from", "10"), ("horizon", "20")]].concat();
    let sizes = ["hidden", "heads", "encoder_layers", "decoder_layers", "supervision_steps", "latent_steps", "peaks", "length"];
    vec![
        fields::<Experiment>("Experiment", "", &[("parent", "Checkpoint(\"a@5\")"), ("max_step", "9")]),
        fields::<Decide>("Decide", "", &[("metric", "\"easy/token_accuracy\""), ("at_least", "0.01")]),
        fields::<Scratch>("Scratch", "", &root),
        fields::<Imported>("Imported", "", &imported),
        fields::<Branch>("Branch", "", &[("name", "\"a\""), ("curriculum", "Inherit")]),
        fields::<CurriculumChoice>("Moved", "Moved", &[("of", "\"a\""), ("loss", "Precursor"), ("to", "5")]),
        fields::<Change>("Change", "", &[]),
        fields::<Validation>("Validation", "", &[("name", "\"a\""), ("data", "Mgf(files: [\"a\"])")]),
        fields::<ValidationData>("Synthetic set", "Synthetic", &[("source", "(length: 7..=10)")]),
        fields::<MgfSet>("Mgf set", "", &[("files", "[\"a\"]")]),
        fields::<Library>("Library", "", &[]),
        fields::<Recorded>("Recorded", "", &[]),
        fields::<RecordedEnd>("RecordedEnd", "", &[("step", "5"), ("id", "\"a\""), ("tensors", "\"b\"")]),
        fields::<Curriculum>("Curriculum", "", &[("stages", "[]")]),
        fields::<Stage>("Stage", "", &[("from", "0"), ("loss", "{CrossEntropy: 1.0}")]),
        fields::<StageData>("StageData", "", &[]),
        fields::<Training>("Training", "", &[("batch", "4"), ("lr", "Constant(rate: 1.0)")]),
        fields::<Optimizer>("AdamW", "AdamW", &[]),
        fields::<Rate>("Constant", "Constant", &[("rate", "1.0")]),
        fields::<Rate>("Cosine", "Cosine", &[("peak", "1.0"), ("horizon", "9")]),
        fields::<Rate>("WarmUp", "WarmUp", &rate_up),
        fields::<Rate>("WarmUpStableDecay", "WarmUpStableDecay", &stable),
        fields::<Recursive>("Recursive", "", &sizes.map(|size| (size, "8"))),
        fields::<Synthetic>("Synthetic", "", &[("length", "7..=10")]),
        fields::<Mgf>("Mgf", "", &[("files", "[\"a\"]")]),
        fields::<Part>("Part", "", &[("share", "1.0"), ("data", SYNTHETIC)]),
        fields::<Preprocessing>("Preprocessing", "", &[]),
    ]
}

/// Everything with choices, by the section that describes it.
fn all_choices() -> Vec<(&'static str, Reader)> {
    vec![
        ("Parent", read::<Parent>),
        ("CurriculumChoice", read::<CurriculumChoice>),
        ("ValidationData", read::<ValidationData>),
        ("Loss", read::<Loss>),
        ("Optimizer", read::<Optimizer>),
        ("Rate", read::<Rate>),
        ("Supervision", read::<Supervision>),
        ("Precision", read::<Precision>),
        ("Model", read::<Model>),
        ("Modification", read::<Modification>),
        ("Source", read::<Source>),
    ]
}

impl Fields {
    /// The value with these fields on top of the required ones, of which one may be left out.
    fn value(&self, extra: Option<(&str, &str)>, without: Option<&str>) -> Result<Value, Error> {
        let required = self.required.iter().map(|(field, value)| (*field, value.as_str()));
        let written = required.filter(|(field, _)| Some(*field) != without).chain(extra);
        let written: Vec<String> = written.map(|(field, value)| format!("{field}: {value}")).collect();
        (self.reader)(&format!("{}({})", self.before, written.join(", ")))
    }

    fn known(&self) -> BTreeSet<String> {
        match self.value(Some(("no_such_field", "0")), None) {
            Err(Error::NoSuchStructField { expected, .. }) => expected.iter().map(|&field| field.to_owned()).collect(),
            other => panic!("{}: a field that does not exist is not refused: {other:?}", self.section),
        }
    }
}

/// A table of the document: the section it stands in, its header, and its rows by the word in the first column.
struct Table {
    section: String,
    header: Vec<String>,
    rows: Vec<(String, Vec<String>)>,
}

fn tables(text: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let (mut section, mut inside) = (String::new(), false);
    for line in text.lines() {
        if line.starts_with('#') {
            section = line.trim_start_matches('#').trim().to_owned();
        }
        let Some(row) = line.strip_prefix("| ").or_else(|| line.strip_prefix("|-")) else {
            inside = false;
            continue;
        };
        let cells: Vec<String> = row.trim_end_matches('|').split(" |").map(|cell| cell.trim().to_owned()).collect();
        if !inside {
            tables.push(Table { section: section.clone(), header: cells, rows: vec![] });
            inside = true;
        } else if !line.starts_with("|-") {
            let word = cells[0].trim_matches('`').split('(').next().unwrap().to_owned();
            tables.last_mut().unwrap().rows.push((word, cells));
        }
    }
    tables
}

/// The tables of one kind by section.
fn tables_of(kind: &str) -> BTreeMap<String, Table> {
    let mut found = BTreeMap::new();
    for table in tables(&document()).into_iter().filter(|table| table.header[0] == kind) {
        let section = table.section.clone();
        assert!(found.insert(section.clone(), table).is_none(), "two tables of {kind}s in `{section}`");
    }
    found
}

fn words(table: &Table) -> BTreeSet<String> {
    let words: BTreeSet<String> = table.rows.iter().map(|(word, _)| word.clone()).collect();
    assert_eq!(words.len(), table.rows.len(), "`{}` names something twice", table.section);
    words
}

#[test]
fn every_field_is_described_and_every_described_field_is_there() {
    let tables = tables_of("field");
    let all = all_fields();
    let sections: BTreeSet<&str> = all.iter().map(|fields| fields.section).collect();
    assert_eq!(tables.keys().map(String::as_str).collect::<BTreeSet<_>>(), sections, "sections with fields");
    for fields in &all {
        let table = &tables[fields.section];
        assert_eq!(table.header, ["field", "type", "unit", "default", "meaning"], "{}", fields.section);
        assert_eq!(words(table), fields.known(), "the fields of `{}`: left in the document, right in the code", fields.section);
        assert!(table.rows.iter().all(|(_, cells)| cells.len() == 5), "{}: a row without five cells", fields.section);
    }
}

#[test]
fn every_choice_is_described_and_every_described_choice_is_there() {
    let tables = tables_of("choice");
    let all = all_choices();
    assert_eq!(tables.keys().cloned().collect::<Vec<_>>().len(), all.len(), "sections with choices");
    for (section, reader) in all {
        let known: BTreeSet<String> = match reader("NoSuchChoice") {
            Err(Error::NoSuchEnumVariant { expected, .. }) => expected.iter().map(|&choice| choice.to_owned()).collect(),
            other => panic!("{section}: {other:?}"),
        };
        assert_eq!(words(&tables[section]), known, "the choices of `{section}`: left in the document, right in the code");
    }
}

#[test]
fn every_documented_default_is_the_codes() {
    let tables = tables_of("field");
    let mut compared = 0;
    for fields in all_fields() {
        let minimal = fields.value(None, None).unwrap_or_else(|error| panic!("{}: {error}", fields.section));
        // A struct variant is written as `{"Variant": {..}}`.
        let inner = if fields.before.is_empty() { &minimal } else { &minimal[fields.before] };
        for (field, cells) in &tables[fields.section].rows {
            let (at, default) = (format!("`{field}` of `{}`", fields.section), cells[3].as_str());
            let is_required = fields.required.iter().any(|(required, _)| required == field);
            assert_eq!(default == "required", is_required, "{at} is said to be {default}");
            if is_required {
                let error = fields.value(None, Some(field)).expect_err(&at);
                assert!(matches!(error, Error::MissingStructField { .. }), "{at}: {error}");
                continue;
            }
            compared += 1;
            match default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
                Some(value) => {
                    let written = fields.value(Some((field, value)), None).unwrap_or_else(|error| panic!("{at}: {error}"));
                    assert_eq!(written, minimal, "{at}: written out as {value}, the default is something else");
                }
                // Words: what counts is decided later, from other fields or files. Here nothing stands.
                None => {
                    assert!(!default.is_empty(), "{at} has no default");
                    assert_eq!(inner.get(field).cloned().filter(|value| !is_empty(value)), None, "{at}: {default}");
                }
            }
        }
    }
    assert!(compared > 50, "{compared} defaults");
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// An experiment in a project of its own, resolved.
fn resolved(texts: &[(&str, &str)], target: &str) -> Resolved {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("experiments")).unwrap();
    for (stem, text) in texts {
        fs::write(folder.path().join(format!("experiments/{stem}.ron")), text).unwrap();
    }
    let (mut loaded, name) = Project { root: folder.path().into() }.load(Path::new(target)).expect("it can be read");
    let mut resolution = loaded.resolve(std::slice::from_ref(&name));
    assert!(loaded.problems.is_empty(), "{:#?}", loaded.problems);
    resolution.experiments.remove(&name).unwrap()
}

fn small_root(training: &str, extra: &str) -> String {
    let parent = format!("Scratch(seed: 1, model: {RECURSIVE}, data: {SYNTHETIC}, training: {training})");
    let set = |name: &str| format!("(name: \"{name}\", data: Synthetic(source: (length: 7..=8)))");
    let curriculum = "Inline(stages: [(from: 0, loss: {CrossEntropy: 1.0})])";
    format!(
        "(parent: {parent}, validation: [{}, {}], max_step: 9, branches: [(name: \"a\", curriculum: {curriculum}), \
         (name: \"b\", curriculum: {curriculum})], {extra})",
        set("first"),
        set("last")
    )
}

#[test]
fn defaults_in_words_hold() {
    let tables = tables_of("field");
    let cell = |section: &str, field: &str| {
        let (_, cells) = tables[section].rows.iter().find(|(word, _)| word == field).unwrap();
        cells[3].clone()
    };
    let plain = resolved(&[("a", &small_root(TRAINING, ""))], "a");
    for field in ["save_every", "evaluate_every", "log_every"] {
        let default = cell("Experiment", field);
        let value = default.strip_prefix("the parent's; a root's: `").unwrap().trim_end_matches('`');
        let written = resolved(&[("a", &small_root(TRAINING, &format!("{field}: {value}")))], "a");
        assert_eq!(written.rhythm, plain.rhythm, "{field}: {default}");
    }
    assert_eq!(cell("Experiment", "best"), "the parent's; a root's: token accuracy on the last set");
    let (set, metric) = plain.best.unwrap();
    assert_eq!((set.as_str(), metric.as_str()), ("last", "token_accuracy"));
    assert_eq!(cell("Experiment", "reference"), "the last branch");
    assert_eq!(plain.reference.as_str(), "b");
    let first = plain.leaves[0].history.settings(0);
    assert_eq!(cell("Training", "micro_batch"), "the whole batch");
    assert_eq!(first.micro_batch, first.batch);
    assert_eq!(cell("StageData", "length"), "the source's whole range");
    assert_eq!(first.difficulty.length, (7, 10));

    assert_eq!(cell("Cosine", "floor"), "1 % of the peak");
    let cosine = small_root("(batch: 4, lr: Cosine(peak: 2.0, horizon: 4))", "");
    assert!((resolved(&[("a", &cosine)], "a").leaves[0].history.at(8).rate - 0.02).abs() < 1e-12);

    // What a fork leaves out is its parent's.
    let extra = "save_every: 2, evaluate_every: 3, log_every: 4, best: \"first/residue_recall\", keep: [5]";
    let texts = [
        ("a", small_root("(batch: 4, micro_batch: 2, clip: 3.0, dropout: 0.5, lr: Constant(rate: 2.0))", extra)),
        ("fork", "(parent: Checkpoint(\"a/b@5\"), curriculum: Inherit, max_step: 20)".to_owned()),
    ];
    let texts: Vec<(&str, &str)> = texts.iter().map(|(stem, text)| (*stem, text.as_str())).collect();
    let (parent, fork) = (resolved(&texts, "a"), resolved(&texts, "fork"));
    assert_eq!((&fork.best, &fork.validation), (&parent.best, &parent.validation));
    assert_eq!((fork.rhythm.save_every, fork.rhythm.evaluate_every, fork.rhythm.log_every), (2, 3, 4));
    assert!(fork.rhythm.keep.is_empty(), "`keep` is the file's own");
    assert_eq!(fork.leaves[0].history.settings(19), parent.leaves[1].history.settings(4));
    for (field, cells) in &tables["Change"].rows {
        assert!(cells[3].starts_with("the parent's") || field == "scale", "{field}: {}", cells[3]);
    }
}

/// What is wrong with an experiment beside a sound root: the marked text, the message and the help of each problem.
fn problems(text: &str) -> Vec<(String, String, String)> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("experiments")).unwrap();
    fs::write(folder.path().join("experiments/a.ron"), small_root(TRAINING, "")).unwrap();
    fs::write(folder.path().join("experiments/fork.ron"), text).unwrap();
    let problems = match (Project { root: folder.path().into() }).load(Path::new("fork")) {
        Ok((mut loaded, name)) => {
            loaded.resolve(&[name]);
            loaded.problems
        }
        Err(loaded) => loaded.problems,
    };
    let marked = |span: std::ops::Range<usize>| text.get(span).unwrap_or_default().to_owned();
    problems.into_iter().map(|found| (marked(found.span), found.message, found.help.unwrap_or_default())).collect()
}

#[test]
fn rules_of_decisions_are_checked_where_they_stand() {
    let fork =
        |branches: &str, decide: &str| format!("(parent: Checkpoint(\"a/b@5\"), max_step: 20, {branches}, decide: {decide})");
    let two = "branches: [(name: \"x\", curriculum: Inherit, change: (dropout: 0.5)), (name: \"y\", curriculum: Inherit)]";
    let rule = |metric: &str, least: &str| format!("(metric: \"{metric}\", at_least: {least})");
    let sound = problems(&fork(two, &rule("last/peptide_precision", "0.01")));
    assert!(sound.is_empty(), "{sound:#?}");
    let only = |text: String| {
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{found:#?}");
        found.into_iter().next().unwrap()
    };
    let (marked, message, help) = only(fork(two, &rule("last/peptide_accuracy", "0.01")));
    assert_eq!((marked.as_str(), message.as_str()), ("\"last/peptide_accuracy\"", "`peptide_accuracy` is no metric"));
    assert!(help.starts_with("did you mean `"), "{help}");
    let (marked, message, help) = only(fork(two, &rule("lost/token_accuracy", "0.01")));
    assert_eq!(
        (marked.as_str(), message.as_str()),
        ("\"lost/token_accuracy\"", "`lost/token_accuracy` names no validation set")
    );
    assert!(help.contains("`first`, `last`"), "{help}");
    for least in ["0.0", "-0.1", "1.5"] {
        let (marked, message, _) = only(fork(two, &rule("last/token_accuracy", least)));
        assert_eq!(marked, least, "{message}");
        assert!(message.starts_with("`at_least` is "), "{message}");
    }
    let (_, message, _) = only(fork("curriculum: Inherit", &rule("last/token_accuracy", "0.01")));
    assert_eq!(message, "`decide` stands where there is one branch");
}

/// The RON blocks of the document with what their first line says they are.
fn examples() -> Vec<(String, String)> {
    let text = document();
    let blocks = text.split("\n```ron").skip(1);
    let pair = |block: &str| {
        let (kind, rest) = block.split_once('\n').unwrap();
        (kind.trim().to_owned(), rest.split("\n```").next().unwrap().to_owned())
    };
    blocks.map(pair).collect()
}

/// Reads and checks a value by itself.
fn sound<T: DeserializeOwned>(text: &str, check: impl Fn(&T, &mut Findings)) {
    let value: T = parse(text).unwrap_or_else(|problem| panic!("{problem:?} in\n{text}"));
    let mut findings = Findings::default();
    check(&value, &mut findings);
    assert!(findings.list.is_empty(), "{:#?} in\n{text}", findings.list);
}

/// The shipped files with one more experiment, which must resolve without a problem.
fn resolves_beside_the_shipped_files(text: &str) {
    let folder = tempfile::tempdir().unwrap();
    for part in ["experiments", "curricula"] {
        fs::create_dir(folder.path().join(part)).unwrap();
        for entry in fs::read_dir(root().join(part)).unwrap().map(|entry| entry.unwrap()) {
            fs::copy(entry.path(), folder.path().join(part).join(entry.file_name())).unwrap();
        }
    }
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/spectra.mgf"), "").unwrap();
    fs::write(folder.path().join("experiments/example.ron"), text).unwrap();
    let (mut loaded, name) = Project { root: folder.path().into() }.load(Path::new("example")).expect(text);
    loaded.resolve(&[name]);
    assert!(loaded.problems.is_empty(), "{:#?} in\n{text}", loaded.problems);
}

#[test]
fn every_example_works() {
    let examples = examples();
    assert!(examples.len() >= 9, "{} examples", examples.len());
    for (kind, text) in &examples {
        match kind.as_str() {
            "experiment" => resolves_beside_the_shipped_files(text),
            "branches" => resolves_beside_the_shipped_files(&format!(
                "(parent: Checkpoint(\"precursor_timing_full/phased#1@40_000\"), max_step: 50_000, branches: {text})"
            )),
            "validation" => resolves_beside_the_shipped_files(&format!(
                "(parent: Checkpoint(\"ce_baseline@600\"), curriculum: Inherit, max_step: 700, validation: {text})"
            )),
            "curriculum" => sound::<Curriculum>(text, |value, findings| value.check(&Place::root(), findings)),
            "training" => sound::<Training>(text, |value, findings| value.check(&Place::root(), findings)),
            "source" => sound::<Source>(text, |value, findings| value.check(&Place::root(), findings)),
            other => panic!("an example of a `{other}` is not read by any test"),
        }
    }
}

#[test]
fn links_lead_somewhere() {
    let text = document();
    let slug = |line: &str| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    let anchors: Vec<String> = text.lines().filter(|line| line.starts_with('#')).map(slug).collect();
    assert_eq!(anchors.iter().collect::<BTreeSet<_>>().len(), anchors.len(), "two sections have one name");
    let links = text.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap());
    let broken: Vec<&str> = links.filter(|link| !anchors.contains(&(*link).to_owned())).collect();
    assert!(broken.is_empty(), "{broken:?}");
}

#[test]
fn lines_outside_tables_are_not_long() {
    let long = |line: &&str| !line.starts_with('|') && line.chars().count() > 128;
    assert_eq!(document().lines().find(long), None);
}
