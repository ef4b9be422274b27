//! The statistics of a comparison hold what they state on networks that were really trained, not only on simulated numbers.
//!
//! One pool of micro trainings that differ in their seed alone, looked at after several numbers of updates: with a constant
//! rate an earlier look is a training of fewer updates. Groups of the pool are compared by the code that judges branches.
//! Rates are tested on groups that share no training, which makes them independent; the printed estimate besides is the mean
//! over many shufflings of the pool, which is more exact and has no simple error.
//!
//! `cargo test --release --test train calibration -- --nocapture` prints the table; `CALIBRATION=long` before it trains ten
//! times as many networks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rand::seq::SliceRandom;
use runner::execute::{Executor, Start, Stepped};
use runner::history::History;
use runner::lineage::{FileOrigin, Known, Library, resolve};
use runner::report::{Judgement, LEVEL, POWER, Planned, Spread, Trial, estimate, measure, seeds_needed};
use runner::spec::{Experiment, Name, Place, parse};
use runner::task::random::{Purpose, stream};
use runner::task::sampler::{Drawer, Sampler};
use runner::task::spectrum::Spectrum;
use runner::task::synthetic::{self, Synthetic};

use crate::cuts::burn;

/// Trainings of the short form; the long one has ten times as many.
const SHORT: usize = 300;
/// Numbers of updates after which a network is looked at. The last is that of the reference.
const LOOKS: [u64; 6] = [5, 12, 16, 19, 21, 24];
const METRICS: [&str; 2] = ["token_accuracy", "cross_entropy"];
/// Spectra of the fixed validation set.
const SPECTRA: u64 = 96;
/// Threads that train side by side.
const THREADS: usize = 2;
/// Shufflings of the pool behind the printed estimate.
const SHUFFLES: u64 = 40;
/// A count that chance gives less often than this, if what is stated holds, fails the test.
const RARE: f64 = 1e-3;
/// Seeds that the planted effect should take.
const WISHED_SEEDS: u64 = 8;
/// With more seeds than this too few groups are left.
const MOST_SEEDS: u64 = 20;

/// `SEEDS` is a list.
const EXPERIMENT: &str = "(
    parent: Scratch(
        model: Recursive(hidden: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, supervision_steps: 1, latent_steps: 1,
            peaks: 20, length: 12),
        data: Synthetic(length: 7..=10),
        training: (batch: 4, lr: Constant(rate: 3e-3)),
    ),
    curriculum: Inline(stages: [(from: 0, loss: {CrossEntropy: 1.0})]),
    max_step: 24,
    seeds: [SEEDS],
)";

/// By look, then by metric, one value for each training.
type Pool = Vec<[Vec<f64>; 2]>;

/// Judges a branch's values against the reference's; seeds were paired by their place.
type Verdict = fn(&[f64], &[f64], &str) -> Option<Judgement>;

fn trainings() -> usize {
    let is_long = std::env::var("CALIBRATION").is_ok_and(|form| form == "long");
    if is_long { SHORT * 10 } else { SHORT }
}

/// One history for each seed.
fn histories(count: usize) -> Vec<History> {
    let seeds = (1..=count).map(|seed| seed.to_string()).collect::<Vec<_>>().join(", ");
    let value: Experiment = parse(&EXPERIMENT.replace("SEEDS", &seeds)).unwrap();
    let name = Name::try_from("pool").unwrap();
    let mut library = Library::default();
    let origin = FileOrigin { file: "pool.ron".into(), at: Place::root() };
    library.experiments.insert(name.clone(), Known { value, origin });
    let mut resolution = resolve(&library, std::slice::from_ref(&name));
    assert!(resolution.faults.is_empty(), "{:?}", resolution.faults);
    let leaves = resolution.experiments.remove(&name).unwrap().leaves;
    leaves.into_iter().map(|leaf| leaf.history).collect()
}

/// Trains one network; both metrics at each look.
fn train(executor: &dyn Executor, history: &History, sampler: &Arc<Sampler>, spectra: &[Spectrum]) -> Vec<[f64; 2]> {
    let start = Start { history, step: 0, state: None, sampler: Arc::clone(sampler), ledger: false };
    let mut trainee = executor.start(start).unwrap();
    let mut seen = Vec::new();
    for step in 1..=history.end() {
        assert!(matches!(trainee.step(false, &|| false).unwrap(), Stepped::Done(_)));
        if LOOKS.contains(&step) {
            let weights = trainee.state().unwrap().model;
            let scores = executor.evaluate(history.root(), &weights, spectra, &|| false).unwrap().unwrap();
            seen.push([scores.summary.all.token_accuracy, scores.cross_entropy]);
        }
    }
    seen
}

fn trained(executor: &dyn Executor, count: usize) -> Pool {
    let histories = histories(count);
    let model = histories[0].root().model.recursive();
    let source = Synthetic { length: 7..=10, fragment_charges: 1 };
    let sampler = Arc::new(Sampler::new(model, vec![(1.0, Drawer::Synthetic(source.clone()))]));
    let draw = |slot| {
        let random = &mut stream(5, Purpose::Validation, 0, slot);
        synthetic::draw(&source, sampler.vocabulary(), (7, 10), random)
    };
    let spectra: Vec<Spectrum> = (0..SPECTRA).map(draw).collect();
    let slots: Vec<OnceLock<Vec<[f64; 2]>>> = (0..count).map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(slot) = slots.get(index) else { break };
            slot.set(train(executor, &histories[index], &sampler, &spectra)).unwrap();
        }
    };
    std::thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(work))));
    let value = |look: usize, metric: usize| slots.iter().map(|slot| slot.get().unwrap()[look][metric]).collect();
    (0..LOOKS.len()).map(|look| [0, 1].map(|metric| value(look, metric))).collect()
}

/// The pool that both tests share; trained once.
fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| {
        let begun = std::time::Instant::now();
        let pool = trained(&burn(), trainings());
        println!("{} trainings in {:.1} s", trainings(), begun.elapsed().as_secs_f64());
        for (look, metrics) in LOOKS.iter().zip(&pool) {
            let told = |values: &Vec<f64>| {
                let spread = Spread::of(values.iter().copied());
                format!("{:.4} ± {:.4}", spread.mean, spread.deviation.unwrap())
            };
            println!("after {look:>2} updates: accuracy {}, cross-entropy {}", told(&metrics[0]), told(&metrics[1]));
        }
        pool
    })
}

/// As the report judges one branch.
fn judged(reference: &[f64], branch: &[f64], metric: &str) -> Option<Judgement> {
    let differences = branch.iter().zip(reference).map(|(own, other)| own - other).collect();
    let higher_is_better = measure::higher_is_better(metric);
    estimate(&[differences], &Trial { reference, higher_is_better, spectra: None, effect: None })[0].judgement
}

/// The same of seeds that seem three times as alike as they are: a planted mistake.
fn judged_too_surely(reference: &[f64], branch: &[f64], metric: &str) -> Option<Judgement> {
    let about = |values: &[f64]| -> Vec<f64> {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|value| mean + (value - mean) / 3.0).collect()
    };
    judged(&about(reference), &about(branch), metric)
}

fn is_different(judgement: Option<Judgement>) -> bool {
    matches!(judgement, Some(Judgement::Better | Judgement::Worse))
}

/// Of how many comparisons something holds, and how many there are.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    found: u64,
    of: u64,
}

impl Count {
    fn over(outcomes: impl Iterator<Item = bool>) -> Count {
        outcomes.fold(Count::default(), |count, holds| Count { found: count.found + u64::from(holds), of: count.of + 1 })
    }

    fn rate(self) -> f64 {
        self.found as f64 / self.of as f64
    }

    /// Chance of so many or more, if each holds with this chance.
    fn chance_of_more(self, rate: f64) -> f64 {
        (self.found..=self.of).map(|found| binomial(found, self.of, rate)).sum()
    }

    /// Chance of so many or fewer.
    fn chance_of_fewer(self, rate: f64) -> f64 {
        (0..=self.found).map(|found| binomial(found, self.of, rate)).sum()
    }
}

fn binomial(found: u64, of: u64, rate: f64) -> f64 {
    let ways: f64 = (1..=found).map(|index| ((of - found + index) as f64 / index as f64).ln()).sum();
    (ways + found as f64 * rate.ln() + (of - found) as f64 * (1.0 - rate).ln()).exp()
}

/// The pool's places in the order in which groups are taken: as trained, then shuffled in many ways.
fn orders(count: usize) -> (Vec<usize>, impl Iterator<Item = Vec<usize>>) {
    let plain: Vec<usize> = (0..count).collect();
    let shuffled = plain.clone();
    let others = (0..SHUFFLES).map(move |shuffle| {
        let mut order = shuffled.clone();
        order.shuffle(&mut stream(9, Purpose::Validation, 0, shuffle));
        order
    });
    (plain, others)
}

/// Compares groups of k seeds with groups of k others, each training in one group at most.
fn compare(seeds: usize, pairs: (&[f64], &[f64]), holds: &dyn Fn(&[f64], &[f64]) -> bool) -> Count {
    let groups = pairs.0.chunks_exact(seeds).zip(pairs.1.chunks_exact(seeds));
    Count::over(groups.map(|(reference, branch)| holds(reference, branch)))
}

/// The count over groups that share nothing, and the rate over all shufflings. The first half of the pool has the values of
/// a reference, the second half those of a branch.
fn counted(seeds: usize, reference: &[f64], branch: &[f64], holds: &dyn Fn(&[f64], &[f64]) -> bool) -> (Count, f64) {
    let (plain, shuffled) = orders(reference.len());
    let half = reference.len() / 2;
    let count = |order: &Vec<usize>| {
        let of = |values: &[f64], places: &[usize]| -> Vec<f64> { places.iter().map(|place| values[*place]).collect() };
        let (first, second) = (of(reference, &order[..half]), of(branch, &order[half..]));
        compare(seeds, (&first, &second), holds)
    };
    let rates: Vec<f64> = shuffled.map(|order| count(&order).rate()).collect();
    (count(&plain), rates.iter().sum::<f64>() / rates.len() as f64)
}

fn header(title: &str) {
    println!("\n{title}");
    println!("{:<44} {:>5} {:>12} {:>8} {:>12} {:>9}", "", "seeds", "stated", "observed", "comparisons", "shuffled");
}

fn line(what: &str, seeds: usize, stated: &str, (count, shuffled): (Count, f64)) {
    println!("{what:<44} {seeds:>5} {stated:>12} {:>8.3} {:>12} {shuffled:>9.3}", count.rate(), count.of);
}

#[test]
fn trained_nulls_are_called_different_no_more_often_than_stated() {
    let last = pool().last().unwrap();
    header("null against null: called better or worse");
    for seeds in [3, 5] {
        for (metric, values) in METRICS.iter().zip(last) {
            let called = |verdict: Verdict| {
                counted(seeds, values, values, &|reference, branch| is_different(verdict(reference, branch, metric)))
            };
            let observed = called(judged);
            line(metric, seeds, "at most 0.05", observed);
            let chance = observed.0.chance_of_more(LEVEL);
            assert!(chance > RARE, "{metric}, {seeds} seeds: {:?} has a chance of {chance:.1e}", observed.0);
            // The same test must fail where seeds seem more alike than they are.
            let planted = called(judged_too_surely);
            line("  with a third of the spread", seeds, "over 0.05", planted);
            let as_shuffled = Count { found: (planted.1 * planted.0.of as f64).round() as u64, ..planted.0 };
            assert!(as_shuffled.chance_of_more(LEVEL) < RARE, "{metric}, {seeds} seeds: {as_shuffled:?} is not noticed");
        }
    }
}

/// A number of updates whose effect on a metric takes about as many seeds as are wished.
struct Effect {
    metric: usize,
    look: usize,
    /// Seeds with which it is to be found with a chance of 0.8.
    seeds: u64,
    /// Whether the branch, trained for less long, is worse.
    is_worse: bool,
}

/// All effects with what they take, the true differences and spreads being those of the whole pool.
fn effects(pool: &Pool) -> Vec<Effect> {
    let last = pool.len() - 1;
    let effect = |look: usize, metric: usize| {
        let [own, reference] = [look, last].map(|look| Spread::of(pool[look][metric].iter().copied()));
        let difference = own.mean - reference.mean;
        let deviation = own.deviation.unwrap().hypot(reference.deviation.unwrap());
        let freedom = 2.0 * (own.values.len() - 1) as f64;
        let seeds = seeds_needed(Planned { deviation, freedom }, difference.abs(), 1, 10_000);
        let is_worse = (difference < 0.0) == measure::higher_is_better(METRICS[metric]);
        println!(
            "{} after {} updates, not {}: {difference:+.4} ± {deviation:.4}: {seeds} seeds",
            METRICS[metric], LOOKS[look], LOOKS[last]
        );
        Effect { metric, look, seeds, is_worse }
    };
    (0..last).flat_map(|look| [effect(look, 0), effect(look, 1)]).collect()
}

#[test]
fn a_trained_effect_is_found_at_the_stated_power() {
    let pool = pool();
    let last = pool.last().unwrap();
    let far = |effect: &Effect| (effect.seeds as f64 / WISHED_SEEDS as f64).ln().abs();
    let all = effects(pool);
    header("trained for fewer updates: found to be what it is");
    let mut tried = 0;
    for metric in 0..METRICS.len() {
        let own = all.iter().filter(|effect| effect.metric == metric && effect.seeds <= MOST_SEEDS);
        let Some(effect) = own.min_by(|a, b| far(a).total_cmp(&far(b))) else { continue };
        let expected = if effect.is_worse { Judgement::Worse } else { Judgement::Better };
        let found = |seeds: usize| {
            let branch = &pool[effect.look][metric];
            counted(seeds, &last[metric], branch, &|reference, branch| {
                judged(reference, branch, METRICS[metric]) == Some(expected)
            })
        };
        let what = format!("{} after {} updates", METRICS[metric], LOOKS[effect.look]);
        let seeds = effect.seeds as usize;
        let observed = found(seeds);
        line(&what, seeds, "at least 0.8", observed);
        let chance = observed.0.chance_of_fewer(POWER);
        assert!(chance > RARE, "{what}, {seeds} seeds: {:?} has a chance of {chance:.1e}", observed.0);
        // So many seeds are needed: with half of them it is found less often.
        if seeds >= 6 {
            let halved = found(seeds / 2);
            line("  with half the seeds", seeds / 2, "below 0.8", halved);
            assert!(halved.1 < POWER, "{what}: half of {seeds} seeds find it too");
        }
        tried += 1;
    }
    assert!(tried > 0, "no number of updates has an effect that 3 to {MOST_SEEDS} seeds find");
}
