//! Training as a whole, on the micro model.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::execute::{Executor, Failure, Start, Stepped};
use crate::history::{History, Piece, Settings, Span};
use crate::record::{State, Tensors};
use crate::spec::Precision;
use crate::task::loss::Loss;
use crate::task::model::Recursive;
use crate::task::random::{Purpose, stream};
use crate::task::sampler::{Drawer, Pool, Sampler};
use crate::task::spectrum::Spectrum;
use crate::task::synthetic;
use crate::train::feed::Prepared;
use crate::train::gradient::both_ways;
use crate::train::layout::{Layout, read_vector};
use crate::train::optimizer::Weights;
use crate::train::testing::{begin, busy, cpu, executors, gpu, history, micro, plain, root, synthetic, train};
use crate::train::{Choice, Decoded, testing};

#[test]
fn a_run_that_was_cut_gives_the_bytes_of_one_that_was_not() {
    for (name, burn) in executors() {
        let whole = history(busy(), 7);
        let (_, uncut) = train(&burn, &whole, 0, None);
        for cut in [1, 4] {
            let (_, first) = train(&burn, &whole.cut(cut), 0, None);
            assert_eq!(train(&burn, &whole, cut, Some(first)).1, uncut, "{name}, cut at {cut}");
        }
        let other = history(Settings { seed: 8, ..busy() }, 7);
        assert_ne!(train(&burn, &other, 0, None).1, uncut, "{name}: the seed must matter");
        let (_, first) = train(&burn, &whole.cut(4), 0, None);
        let without = State { optimizer: Tensors::new(), ..first };
        assert_ne!(train(&burn, &whole, 4, Some(without)).1, uncut, "{name}: the optimizer's state must matter");
    }
}

/// What is read back between updates, and when, changes nothing of them.
#[test]
fn how_often_somebody_looks_leaves_no_trace() {
    for (name, burn) in executors() {
        let history = history(busy(), 7);
        let (_, looked) = train(&burn, &history, 0, None);
        let mut trainee = begin(&burn, &history, 0, None);
        for _ in 0..7 {
            trainee.step(false, &|| false).unwrap();
        }
        assert_eq!(trainee.state().unwrap(), looked, "{name}");
    }
}

#[test]
fn micro_batches_add_up_to_the_batch() {
    for (name, burn) in executors() {
        let whole = train(&burn, &history(busy(), 3), 0, None);
        let parts = train(&burn, &history(Settings { micro_batch: 4, ..busy() }, 3), 0, None);
        // Gradients that are 0 but for rounding become whole steps in Adam, so only the first update is compared closely.
        for (step, (a, b)) in whole.0.iter().zip(&parts.0).enumerate() {
            let tolerance = if step == 0 { 1e-5 } else { 1e-2 };
            for (loss, term) in &a.terms {
                assert!((term - b.terms[loss]).abs() < tolerance, "{name}, {step}, {loss}: {term} and {}", b.terms[loss]);
            }
            assert!((a.gradient_norm / b.gradient_norm - 1.0).abs() < tolerance, "{name}, step {step}");
        }
    }
}

#[test]
fn an_interrupted_step_changes_nothing() {
    for (name, burn) in executors() {
        let history = history(Settings { micro_batch: 2, ..busy() }, 2);
        let mut trainee = begin(&burn, &history, 0, None);
        let before = trainee.state().unwrap();
        assert_eq!(trainee.step(true, &|| true).unwrap(), Stepped::Interrupted);
        assert_eq!(trainee.state().unwrap(), before);
        for _ in 0..2 {
            trainee.step(false, &|| false).unwrap();
        }
        assert_eq!(trainee.state().unwrap(), train(&burn, &history, 0, None).1, "{name}");
    }
}

#[test]
fn two_trainees_train_at_once_on_two_threads() {
    for (name, burn) in executors() {
        let histories = [1, 2].map(|seed| history(Settings { seed, ..busy() }, 12));
        let alone = histories.each_ref().map(|history| train(&burn, history, 0, None));
        let together = std::thread::scope(|scope| {
            let handles = histories.each_ref().map(|history| scope.spawn(|| train(&burn, history, 0, None)));
            handles.map(|handle| handle.join().unwrap())
        });
        assert!(alone == together, "{name}");
    }
}

#[test]
fn what_is_not_finite_is_named() {
    let mut state = train(&cpu(), &history(plain(), 1), 0, None).1;
    let weights = state.model.get_mut("core.out.bias").unwrap();
    *weights = crate::record::Tensor::f32(weights.shape.clone(), vec![f32::INFINITY; 24]);
    let mut trainee = begin(&cpu(), &history(plain(), 3), 1, Some(state.clone()));
    let Err(Failure::NotFinite { term, step, batch, .. }) = trainee.step(false, &|| false) else { panic!() };
    assert_eq!((term.as_str(), step), ("CrossEntropy", 1));
    assert!(batch.contains("a batch of 6"), "{batch}");
    assert!(matches!(trainee.state(), Err(Failure::NotFinite { .. })));
    // A GPU is not waited for at each step: what it did since it was last read from is found when it is read from.
    let mut trainee = begin(&gpu(), &history(plain(), 3), 1, Some(state));
    trainee.step(false, &|| false).unwrap();
    let Err(Failure::NotFinite { term, step, batch, .. }) = trainee.state() else { panic!() };
    assert_eq!((term.as_str(), step), ("CrossEntropy", 1));
    assert!(batch.contains("a batch of 6"), "{batch}");
}

#[test]
fn averages_come_go_and_carry_over() {
    for (name, burn) in executors() {
        let (_, with) = train(&burn, &history(plain(), 2), 0, None);
        assert_eq!(with.ema["updates"].as_counter(), Some(2));
        let without = history(Settings { ema: None, ..plain() }, 3);
        let (_, dropped) = train(&burn, &without, 2, Some(with));
        assert!(dropped.ema.is_empty());
        let (_, again) = train(&burn, &history(plain(), 4), 3, Some(dropped.clone()));
        assert_eq!(again.ema["updates"].as_counter(), Some(1));
        let part = |tensors: &Tensors| tensors["core.out.bias"].as_f32().unwrap()[5];
        let expected = part(&dropped.model) * (2.0 / 11.0) + part(&again.model) * (9.0 / 11.0);
        assert!((part(&again.ema) - expected).abs() < 1e-7, "{name}");
    }
}

/// Both ways of training make the same network, as far as rounding allows.
#[test]
fn a_gpu_trains_what_a_cpu_trains() {
    let history = history(busy(), 3);
    let [cpu, gpu] = executors().map(|(_, burn)| train(&burn, &history, 0, None).0);
    for (step, (a, b)) in cpu.iter().zip(&gpu).enumerate() {
        let tolerance = if step == 0 { 1e-5 } else { 1e-2 };
        for (loss, term) in &a.terms {
            assert!((term / b.terms[loss] - 1.0).abs() < tolerance, "step {step}, {loss}: {term} and {}", b.terms[loss]);
        }
    }
}

#[test]
fn a_cpu_refuses_bf16_and_says_what_to_do() {
    let history = history(Settings { precision: Precision::Bf16, ..plain() }, 3);
    let sampler = testing::sampler(history.root().model.recursive());
    let start = Start { history: &history, step: 0, state: None, sampler, ledger: false };
    let Err(Failure::Device(message)) = cpu().start(start) else { panic!("a CPU must not train in another format than asked") };
    assert!(message.contains("Bf16") && message.contains("`precision: F32`"), "{message}");
}

/// In bf16 a product is off by about 1 in 256, and the network is still the same one.
#[test]
fn products_in_bf16_come_close_and_are_not_f32() {
    let gpu = gpu();
    if !gpu.computes(Precision::Bf16) {
        eprintln!("SKIPPED: this device does not compute in bf16");
        return;
    }
    let trained = |precision| train(&gpu, &history(Settings { precision, ..busy() }, 4), 0, None);
    let ((whole, state), (rounded, _)) = (trained(Precision::F32), trained(Precision::Bf16));
    for (loss, term) in &whole[0].terms {
        let apart = (rounded[0].terms[loss] / term - 1.0).abs();
        assert!(apart < 0.02, "{loss}: {term} and {}", rounded[0].terms[loss]);
    }
    let apart = (rounded[0].gradient_norm / whole[0].gradient_norm - 1.0).abs();
    assert!((1e-6..0.05).contains(&apart), "gradient norm apart by {apart}");
    // What is kept is f32: the state is that of any other training.
    let (_, on) = train(&gpu, &history(Settings { precision: Precision::Bf16, ..busy() }, 6), 4, Some(state));
    assert!(on.model.values().all(|tensor| tensor.as_f32().is_some()));
}

#[test]
fn a_state_of_another_model_is_refused_by_name() {
    let (_, state) = train(&cpu(), &history(plain(), 1), 0, None);
    let refused = |change: &dyn Fn(&mut State)| {
        let mut state = state.clone();
        change(&mut state);
        let history = history(plain(), 2);
        let sampler = crate::train::testing::sampler(history.root().model.recursive());
        match cpu().start(Start { history: &history, step: 1, state: Some(state), sampler, ledger: false }) {
            Err(Failure::Misfit(message)) => message,
            _ => panic!("the state should not fit"),
        }
    };
    let missing = refused(&|state| drop(state.model.remove("core.embed")));
    assert!(missing.contains("`core.embed` of the weights is missing"), "{missing}");
    let moment = refused(&|state| drop(state.optimizer.remove("core.embed.moment_2")));
    assert!(moment.contains("`core.embed.moment_2`"), "{moment}");
    let counter = refused(&|state| drop(state.optimizer.remove("updates")));
    assert!(counter.contains("`updates`"), "{counter}");
    let left = refused(&|state| drop(state.ema.insert("more".into(), crate::record::Tensor::counter(1))));
    assert!(left.contains("`more` of the running average"), "{left}");
}

/// Share of tokens, end tokens included, that are decoded right.
fn token_accuracy(spectra: &[Spectrum], answers: &[Decoded]) -> f64 {
    let (mut hits, mut all) = (0, 0);
    for (spectrum, answer) in spectra.iter().zip(answers) {
        let right = |place: usize| answer.tokens.get(place) == spectrum.peptide.get(place);
        hits += (0..=spectrum.peptide.len()).filter(|&place| right(place) && place <= answer.tokens.len()).count();
        all += spectrum.peptide.len() + 1;
    }
    hits as f64 / all as f64
}

/// A network that cannot learn 64 spectra by heart has a part that is not connected.
#[test]
fn sixty_four_spectra_are_learned_by_heart() {
    let model = Recursive { hidden: 32, ..micro() };
    let draw = |slot| synthetic::draw(&synthetic(), &model.vocabulary(), (7, 10), &mut stream(1, Purpose::Sample, 0, slot));
    let spectra: Vec<Spectrum> = (0..64).map(draw).collect();
    let pool = Drawer::Pool { pool: Arc::new(Pool::new(spectra.clone())), noise: false };
    let sampler = Arc::new(Sampler::new(&model, vec![(1.0, pool)]));
    let steps = 600;
    let settings = Settings { batch: 32, micro_batch: 32, rate: Piece::Constant(4e-3), ema: None, ..plain() };
    let history = History::new(root(&model, 1), [Span { from: 0, settings }], steps);
    let burn = cpu();
    let mut trainee = burn.start(Start { history: &history, step: 0, state: None, sampler, ledger: false }).unwrap();
    let begun = std::time::Instant::now();
    for step in 1..=steps {
        trainee.step(false, &|| false).unwrap();
        if step % 100 == 0 {
            let answers = burn.answers(history.root(), &trainee.state().unwrap().model, &spectra, &|| false).unwrap().unwrap();
            let accuracy = token_accuracy(&spectra, &answers.decoded);
            println!("step {step}: token accuracy {accuracy:.3}, {:.3} nats, {:.1?}", answers.cross_entropy, begun.elapsed());
            if accuracy >= 0.95 {
                return;
            }
        }
    }
    panic!("64 spectra were not learned in {steps} steps");
}

/// On the batch that was trained, without dropout and smoothing, the terms are those that training logs; parts add up.
#[test]
fn probed_terms_are_those_of_training() {
    let settings = Settings { dropout: 0.0, label_smoothing: 0.0, batch: 70, micro_batch: 70, ..busy() };
    let history = history(settings, 1);
    let (measured, _) = train(&cpu(), &history, 0, None);
    let at = history.at(0);
    let model = history.root().model.recursive();
    let sampler = testing::sampler(model);
    let spectra: Vec<Spectrum> =
        (0..at.batch as u64).map(|slot| sampler.draw(at.seed, at.step, slot, &at.difficulty)).collect();
    let weights = Layout::new(model).initial(history.root().seed);
    let burn = cpu();
    let terms = burn.terms(history.root(), at.supervision, &weights, &spectra, &|| false).unwrap().unwrap();
    for (loss, term) in &measured[0].terms {
        assert!((terms[loss] / term - 1.0).abs() < 1e-5, "{loss}: {} and {term}", terms[loss]);
    }
    assert_eq!(terms.len(), Loss::ALL.len());
    assert_eq!(burn.terms(history.root(), at.supervision, &weights, &spectra, &|| true), Ok(None));
}

/// The network by hand on the CPU against burn's graph: the same terms and the same gradient of every parameter, with noise,
/// padding, dropout and all losses, for models of other depths and widths too.
#[test]
fn gradients_by_hand_are_those_of_the_graph() {
    let deeper = Recursive { hidden: 24, heads: 3, encoder_layers: 2, decoder_layers: 2, latent_steps: 2, ..micro() };
    let wider = Recursive { hidden: 48, supervision_steps: 3, peaks: 33, ..micro() };
    for model in [micro(), deeper, wider] {
        let settings = Settings { batch: 9, micro_batch: 5, dropout: 0.2, ..busy() };
        let history = History::new(root(&model, 1), [Span { from: 0, settings }], 8);
        let (_, state) = train(&cpu(), &history, 0, None);
        let place = Choice::Cpu.open().unwrap();
        let layout = Layout::new(&model);
        let mut weights = Weights::new(Layout::new(&model), &state, place.clone()).unwrap();
        let batch = Prepared::new(history.at(7), &testing::sampler(&model));
        for micro in &batch.micro {
            let ways = both_ways(&model, &mut weights, &batch.at, micro, &place).map(|way| {
                let gradient = layout.read(&way.vector, "").unwrap();
                let terms = way.terms.into_values().map(|term| read_vector(term).unwrap()[0]).collect::<Vec<_>>();
                (gradient, terms)
            });
            let [(graph, terms), (hand, others)] = ways;
            for (term, other) in terms.iter().zip(&others) {
                assert!((term - other).abs() <= 1e-5 * term.abs(), "{terms:?} and {others:?}");
            }
            let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            let whole = norm(&mut graph.values().flat_map(|tensor| tensor.as_f32().unwrap().iter().copied()));
            for (path, tensor) in &graph {
                let (graph, hand) = (tensor.as_f32().unwrap(), hand[path].as_f32().unwrap());
                let apart = norm(&mut graph.iter().zip(hand).map(|(a, b)| a - b));
                let size = norm(&mut graph.iter().copied());
                // The losses of masses are steep: rounding of masses shows in all gradients, and most where much cancels
                // (`parity_tests` holds each way against f64). That of the keys' bias is nothing but rounding, as
                // softmax does not see it.
                assert!(apart <= 5e-3 * size + 1e-5 * whole, "{path}: {apart:e} of {size:e} in {whole:e}");
            }
        }
    }
}

/// The ledger's terms are those that would have been read at every step, whenever they are read.
#[test]
fn the_ledger_holds_what_was_measured_whenever_it_is_read() {
    for (name, burn) in executors() {
        for settings in [busy(), Settings { micro_batch: 3, dropout: 0.1, ..plain() }] {
            let history = history(settings, 12);
            let (looked, _) = train(&burn, &history, 0, None);
            let sampler = testing::sampler(history.root().model.recursive());
            let start = Start { history: &history, step: 0, state: None, sampler, ledger: true };
            let mut trainee = burn.start(start).unwrap();
            let mut entries = vec![];
            for step in 0..12 {
                trainee.step(step == 5, &|| false).unwrap();
                if step == 5 {
                    entries.extend(trainee.entries().unwrap());
                }
            }
            trainee.state().unwrap();
            entries.extend(trainee.entries().unwrap());
            assert_eq!(entries.len(), looked.len(), "{name}");
            for (entry, measured) in entries.iter().zip(&looked) {
                let terms: BTreeMap<Loss, f64> = entry.terms.iter().map(|(&loss, &term)| (loss, f64::from(term))).collect();
                assert_eq!(terms, measured.terms, "{name}, step {}", entry.step);
                assert_eq!(f64::from(entry.gradient_norm), measured.gradient_norm, "{name}, step {}", entry.step);
            }
        }
    }
}
