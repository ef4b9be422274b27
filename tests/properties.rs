//! What must hold of every history, tree and resolution, tried on random ones.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use runner::history::{History, changes};
use runner::lineage::{FileOrigin, Known, Leaf, Library, Path, Resolved, resolve};
use runner::plan::{Existing, Plan};
use runner::spec::{
    Branch, Change, Curriculum, CurriculumChoice, Experiment, Name, Parent, Place, Rate, Stage, StageData, parse,
};
use runner::task::loss::Loss;

mod trees;

use trees::{check_owners, check_tree};
/// Last step of most trunks here; small, so that edges fall on each other often.
const END: u64 = 40;

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

/// Curricula with few different values, so that equal neighbours, and ramps between equals, are common.
fn curriculum() -> impl Strategy<Value = Curriculum> {
    let weight = || select(vec![0.0, 0.0, 0.1, 0.5]);
    let data = (0_u32..3, select(vec![None, Some(7..=8), Some(7..=10)]), select(vec![0.0, 0.5, 1.0]));
    let stage = (1_u64..12, 0_u64..14, select(vec![0.5, 1.0]), weight(), weight(), data);
    vec(stage, 1..6).prop_map(|parts| {
        let mut from = 0;
        let mut stages: Vec<Stage> = Vec::new();
        for (index, (gap, ramp, entropy, spectrum, precursor, (noise_peaks, length, clean_share))) in
            parts.iter().cloned().enumerate()
        {
            let next = parts.get(index + 1).map_or(u64::MAX, |next| next.0);
            from += if index == 0 { 0 } else { gap };
            stages.push(Stage {
                from,
                name: None,
                loss: BTreeMap::from([(Loss::CrossEntropy, entropy), (Loss::Spectrum, spectrum), (Loss::Precursor, precursor)]),
                data: StageData { length, clean_share, noise_peaks, ..StageData::default() },
                ramp: if index == 0 { 0 } else { ramp.min(next) },
            });
        }
        Curriculum { stages }
    })
}

fn rate() -> impl Strategy<Value = Rate> {
    prop_oneof![
        Just(Rate::Constant { rate: 1.0 }),
        (1_u64..30, 0_u64..8).prop_map(|(horizon, warm_up)| Rate::Cosine {
            peak: 1.0,
            horizon: horizon + warm_up,
            floor: None,
            warm_up
        }),
        (0_u64..20).prop_map(|warm_up| Rate::WarmUp { peak: 1.0, warm_up }),
        (0_u64..10, 0_u64..10, 1_u64..20).prop_map(|(warm_up, stable, decay)| Rate::WarmUpStableDecay {
            peak: 1.0,
            warm_up,
            decay_from: warm_up + stable,
            horizon: warm_up + stable + decay,
            floor: Some(0.1),
        }),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let batch = select(vec![None, None, Some(4), Some(8)]);
    let scale = select(vec![None, None, Some(0.0), Some(0.5), Some(1.0)]);
    (batch, proptest::option::weighted(0.3, rate()), scale).prop_map(|(batch, lr, scale)| Change {
        batch,
        lr,
        scale: scale.map(|factor| (Loss::Spectrum, factor)).into_iter().collect(),
        ..Change::default()
    })
}

fn trunk(curriculum: &Curriculum, rate: &Rate, max_step: u64) -> Experiment {
    let text = "(
        parent: Scratch(
            seed: 1,
            model: Recursive(hidden: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, supervision_steps: 1,
                latent_steps: 1, peaks: 20, length: 12),
            data: Synthetic(length: 7..=10),
            training: (batch: 4, lr: Constant(rate: 1.0)),
        ),
        max_step: 1,
    )";
    let mut experiment: Experiment = parse(text).unwrap();
    if let Parent::Scratch(scratch) = &mut experiment.parent {
        scratch.training.lr = rate.clone();
    }
    experiment.curriculum = Some(CurriculumChoice::Inline(curriculum.clone()));
    experiment.max_step = max_step;
    experiment
}

fn fork(parent: &str, curriculum: CurriculumChoice, max_step: u64) -> Experiment {
    let text = format!("(parent: Checkpoint(\"{parent}\"), max_step: {max_step})");
    Experiment { curriculum: Some(curriculum), ..parse(&text).unwrap() }
}

/// What a random fork is made from: its parent's place in the list, the step, a curriculum, a change, its length, its kind.
type Twig = (usize, u64, Curriculum, Change, u64, i32);

fn twig() -> impl Strategy<Value = Twig> {
    (0..5_usize, 0..END, curriculum(), change(), 1_u64..30, 0..3)
}

/// Trunks, forks of them, and forks of forks, parents first; some under two seeds, of which a fork takes the first.
fn family(trunks: &[(Curriculum, Rate)], twigs: Vec<Twig>) -> Vec<(String, Experiment)> {
    let mut experiments: Vec<(String, Experiment)> =
        trunks.iter().enumerate().map(|(index, (c, r))| (format!("trunk{index}"), trunk(c, r, END))).collect();
    for (index, (of, at, c, change, more, kind)) in twigs.into_iter().enumerate() {
        let (parent, known) = &experiments[of % experiments.len()];
        let seed = if known.seeds.is_empty() { "" } else { "#1" };
        let at = at.min(known.max_step);
        let curriculum = if kind == 0 { CurriculumChoice::Inherit } else { CurriculumChoice::Inline(c) };
        let mut experiment = fork(&format!("{parent}{seed}@{at}"), curriculum, at + more);
        experiment.change = (kind == 1).then_some(change);
        experiment.seeds = if kind == 2 { vec![1, 2] } else { vec![] };
        experiment.save_every = Some(1 + more / 2);
        experiments.push((format!("fork{index}"), experiment));
    }
    experiments
}

/// All leaves of all experiments, in the order of the experiments' names; nothing may be wrong with them.
fn leaves(experiments: &[(&str, Experiment)], curricula: &[(&str, &Curriculum)]) -> Vec<Leaf> {
    resolved(experiments, curricula).into_values().flat_map(|resolved| resolved.leaves).collect()
}

fn resolved(experiments: &[(&str, Experiment)], curricula: &[(&str, &Curriculum)]) -> BTreeMap<Name, Resolved> {
    let origin = |file: &str| FileOrigin { file: file.into(), at: Place::root() };
    let library = Library {
        experiments: experiments
            .iter()
            .map(|(stem, value)| (name(stem), Known { value: value.clone(), origin: origin(stem) }))
            .collect(),
        curricula: curricula
            .iter()
            .map(|(stem, value)| (name(stem), Known { value: (*value).clone(), origin: origin(stem) }))
            .collect(),
        ..Library::default()
    };
    let targets: Vec<Name> = library.experiments.keys().cloned().collect();
    let resolution = resolve(&library, &targets);
    assert!(resolution.faults.is_empty(), "{:#?}", resolution.faults);
    resolution.experiments
}

/// The history of the only leaf of the last experiment.
fn history(experiments: &[(&str, Experiment)], curricula: &[(&str, &Curriculum)]) -> History {
    let last = experiments.last().unwrap().0;
    let mut found = leaves(experiments, curricula).into_iter().filter(|leaf| leaf.key.experiment.as_str() == last);
    found.next().unwrap().history
}

fn trunk_history(curriculum: &Curriculum, rate: &Rate, end: u64) -> History {
    history(&[("trunk", trunk(curriculum, rate, end))], &[])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn names_do_not_know_where_a_history_was_cut(c in curriculum(), r in rate(), cuts in vec(1..=END, 1..5)) {
        let whole = trunk_history(&c, &r, END);
        prop_assert!(whole.is_canonical());
        let names = whole.ids(0..=END);
        prop_assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), END as usize + 1);
        let mut cut = whole.clone();
        for step in cuts {
            let end = step.min(cut.end());
            cut = cut.cut(step);
            prop_assert!(cut.is_canonical());
            prop_assert_eq!(cut.ids(0..=end), &names[..=end as usize]);
            prop_assert_eq!(&cut, &trunk_history(&c, &r, end), "a shorter run has the same history");
        }
    }

    #[test]
    fn inheriting_is_training_on(c in curriculum(), r in rate(), at in 1..=END, again in 0_u64..10, more in 1_u64..30) {
        let experiments = [
            ("a", trunk(&c, &r, END)),
            ("b", fork(&format!("a@{at}"), CurriculumChoice::Inherit, at + again + 1)),
            ("c", fork(&format!("b@{}", at + again), CurriculumChoice::Inherit, at + again + more)),
        ];
        let trained_on = trunk_history(&c, &r, at + again + more);
        prop_assert_eq!(history(&experiments, &[]), trained_on);
    }

    #[test]
    fn a_fork_with_the_trunks_own_curriculum_is_the_trunk(c in curriculum(), r in rate(), at in 1..END) {
        let file = CurriculumChoice::File(name("c"));
        let experiments = [("a", trunk(&c, &r, END)), ("b", fork(&format!("a@{at}"), file, END + 9))];
        prop_assert_eq!(history(&experiments, &[("c", &c)]), trunk_history(&c, &r, END + 9));
    }

    #[test]
    fn after_a_fork_the_new_curriculum_governs_as_if_it_always_had(
        c in curriculum(), new in curriculum(), r in rate(), at in 1..END,
    ) {
        let inline = CurriculumChoice::Inline(new.clone());
        let forked = history(&[("a", trunk(&c, &r, END)), ("b", fork(&format!("a@{at}"), inline, END))], &[]);
        let (before, after) = (trunk_history(&c, &r, END), trunk_history(&new, &r, END));
        for step in 0..END {
            let expected = if step < at { before.at(step) } else { after.at(step) };
            prop_assert_eq!(forked.at(step), expected, "step {}", step);
        }
    }

    #[test]
    fn histories_are_equal_up_to_their_common_step_and_not_beyond(
        a in curriculum(), b in curriculum(), r in rate(), s in rate(), at in 1..END, ends in (1_u64..20, 1_u64..20), kind in 0..4,
    ) {
        // Unrelated, related by a fork, by a longer end, or by nothing but the curriculum.
        let inline = CurriculumChoice::Inline(b.clone());
        let end = at + ends.1;
        let (one, other) = match kind {
            0 => (trunk_history(&a, &r, at), trunk_history(&b, &r, end)),
            1 => (
                trunk_history(&a, &r, at + ends.0),
                history(&[("a", trunk(&a, &r, at)), ("b", fork(&format!("a@{at}"), inline, end))], &[]),
            ),
            2 => (trunk_history(&a, &r, at), trunk_history(&a, &r, end)),
            _ => (trunk_history(&a, &r, at + ends.0), trunk_history(&a, &s, end)),
        };
        let common = one.common_step(&other).expect("one root");
        prop_assert_eq!(other.common_step(&one), Some(common));
        let shorter = one.end().min(other.end());
        prop_assert!(common <= shorter);
        if kind == 1 {
            prop_assert!(common >= at);
        }
        for step in 0..shorter {
            if step < common {
                prop_assert!(changes(one.settings(step), other.settings(step)).is_empty());
                prop_assert_eq!(one.at(step), other.at(step));
            }
        }
        if common < shorter {
            prop_assert!(!changes(one.settings(common), other.settings(common)).is_empty());
        }
        let (a, b) = (one.ids(0..=shorter), other.ids(0..=shorter));
        for step in 0..=shorter as usize {
            prop_assert_eq!(a[step] == b[step], step as u64 <= common, "step {}, common {}", step, common);
        }
    }

    #[test]
    fn a_tree_covers_every_history_and_shares_what_they_share(
        trunks in vec((curriculum(), rate()), 1..3),
        twigs in vec(twig(), 1..8),
        marks in vec(vec(1..2 * END, 0..3), 11),
    ) {
        let experiments = family(&trunks, twigs);
        let listed: Vec<(&str, Experiment)> = experiments.iter().map(|(stem, e)| (stem.as_str(), e.clone())).collect();
        let leaves = leaves(&listed, &[]);
        let paths: Vec<Path<'_>> = leaves.iter().enumerate().map(|(index, leaf)| {
            let mut marks = marks.get(index).cloned().unwrap_or_default();
            marks.sort_unstable();
            marks.dedup();
            Path { history: &leaf.history, marks }
        }).collect();
        check_tree(&paths)?;
    }

    #[test]
    fn a_plan_trains_what_is_missing_and_then_nothing(
        trunks in vec((curriculum(), rate()), 1..3), twigs in vec(twig(), 1..6), there in vec(0..4, 40),
    ) {
        let experiments = family(&trunks, twigs);
        let listed: Vec<(&str, Experiment)> = experiments.iter().map(|(stem, e)| (stem.as_str(), e.clone())).collect();
        let resolved = resolved(&listed, &[]);
        for target in resolved.keys() {
            let plan = |existing: &Existing| Plan::new(&resolved, target, existing, &BTreeMap::new());
            let nothing = plan(&Existing::default());
            prop_assert_eq!(nothing.steps_to_train(), nothing.steps_shared());
            check_owners(&nothing)?;
            // Some checkpoints exist, of them some without their tensors.
            let saves = nothing.segments.iter().flat_map(|segment| &segment.saves).zip(there.iter().cycle());
            let found = saves.filter(|(_, there)| **there > 0).map(|(save, there)| (save.id, (save.step, *there > 1)));
            let mut existing = Existing { checkpoints: found.collect(), ..Existing::default() };
            let rest = plan(&existing);
            prop_assert!(rest.steps_to_train() <= nothing.steps_to_train());
            for segment in &rest.segments {
                prop_assert!(segment.from < segment.to());
                match segment.start {
                    None => prop_assert_eq!(segment.from, segment.history.start()),
                    Some(start) if segment.from == 0 => prop_assert!(false, "{start} would be the first weights"),
                    Some(start) => {
                        prop_assert_eq!(segment.history.ids([segment.from])[0], start);
                        prop_assert!(existing.checkpoints[&start].1, "its start has tensors by now");
                    }
                }
                prop_assert_eq!(segment.end(), segment.history.id());
                let saved = segment.saves.iter().filter(|save| save.step > segment.from);
                existing.checkpoints.extend(saved.map(|save| (save.id, (save.step, true))));
            }
            for leaf in &resolved[target].leaves {
                prop_assert!(existing.checkpoints.contains_key(&leaf.history.id()), "{}", leaf.key);
            }
            prop_assert!(plan(&existing).is_done());
        }
    }

    #[test]
    fn a_weight_of_zero_is_the_loss_not_being_there(c in curriculum(), r in rate()) {
        let mut absent = c.clone();
        for stage in &mut absent.stages {
            stage.loss.retain(|&loss, weight| loss == Loss::CrossEntropy || *weight != 0.0);
        }
        let ids = |c: &Curriculum| trunk_history(c, &r, END).ids(0..=END);
        prop_assert_eq!(ids(&c), ids(&absent));

        let scaled = |factor: f64| {
            let mut fork = fork("a@7", CurriculumChoice::File(name("c")), END);
            fork.change = Some(Change { scale: BTreeMap::from([(Loss::Spectrum, factor)]), ..Change::default() });
            history(&[("a", trunk(&c, &r, END)), ("b", fork)], &[("c", &c)])
        };
        prop_assert_eq!(scaled(1.0).id(), trunk_history(&c, &r, END).id());
        let without = scaled(0.0);
        prop_assert!((7..END).all(|step| !without.settings(step).losses.contains_key(&Loss::Spectrum)));
    }

    #[test]
    fn what_is_for_people_is_no_part_of_a_name(c in curriculum(), r in rate(), every in 1_u64..9) {
        let plain = trunk(&c, &r, END);
        let mut told = plain.clone();
        told.question = Some("why?".into());
        (told.save_every, told.evaluate_every, told.log_every) = (Some(every), Some(every + 1), Some(every + 2));
        told.keep = vec![every];
        told.validation = parse("[(name: \"easy\", data: Synthetic(source: (length: 7..=8)))]").unwrap();
        let mut named = c.clone();
        for (index, stage) in named.stages.iter_mut().enumerate() {
            stage.name = Some(format!("stage {index}"));
        }
        // Stages that are not reached are no part of it either.
        let last = named.stages.last().unwrap().clone();
        named.stages.push(Stage { from: last.from.max(END) + last.ramp + 1, ramp: 0, ..last });
        let branch = |stem: &str| Branch { name: name(stem), curriculum: CurriculumChoice::Inline(named.clone()), change: None };
        (told.curriculum, told.branches) = (None, vec![branch("some"), branch("other")]);
        let plain = history(&[("a", plain)], &[]);
        for leaf in leaves(&[("elsewhere", told)], &[]) {
            prop_assert_eq!(leaf.history.ids(0..=END), plain.ids(0..=END));
        }
    }

    #[test]
    fn a_clock_undoes_a_multiplication(c in curriculum(), r in rate(), divide in 2_u64..50) {
        let mut slow = c.clone();
        for stage in &mut slow.stages {
            stage.from *= divide;
            stage.ramp *= divide;
        }
        let mut fork = fork("a@1", CurriculumChoice::File(name("slow")), END);
        fork.clock = Some((1, divide));
        let experiments = [("a", trunk(&c, &r, END)), ("b", fork)];
        // A ramp of one step is at once, and so is one of none: with the clock both stay what they are.
        prop_assert_eq!(history(&experiments, &[("slow", &slow)]), trunk_history(&c, &r, END));
    }

    #[test]
    fn a_moved_loss_moves_alone(c in curriculum(), r in rate(), to in 0..END, loss in select(vec![Loss::Spectrum, Loss::Precursor])) {
        let weight = |history: &History, loss: Loss, step: u64| history.at(step).weights.get(&loss).copied().unwrap_or(0.0);
        let long = 3 * END;
        let written = trunk_history(&c, &r, long);
        let begins = (0..long).find(|&step| weight(&written, loss, step) != 0.0);
        let Some(begins) = begins else { return Ok(()) };
        let moved = |to: u64| {
            let moved = CurriculumChoice::Moved { of: name("c"), loss, to };
            let root = Experiment { curriculum: Some(moved), ..trunk(&c, &r, long) };
            history(&[("a", root)], &[("c", &c)])
        };
        prop_assert_eq!(moved(begins).id(), written.id(), "moved to where it is");
        let moved = moved(to);
        for step in 0..long {
            let expected = if step < to { 0.0 } else { weight(&written, loss, (step - to + begins).min(long - 1)) };
            if step < to || step - to + begins < long {
                prop_assert_eq!(weight(&moved, loss, step), expected, "step {}", step);
            }
            let (mut a, mut b) = (moved.settings(step).clone(), written.settings(step).clone());
            a.losses.remove(&loss);
            b.losses.remove(&loss);
            prop_assert!(changes(&a, &b).is_empty());
        }
    }
}
