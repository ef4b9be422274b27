//! What an update does to the weights: clipping, AdamW, and the running average. Hyper-parameters come anew with every
//! step, so that a run that was cut goes on like one that was not.

use burn::optim::{AdamWConfig, AdamWState, AdaptiveMomentumState, Optimizer as _};
use burn::tensor::{Tensor, TensorData};

use super::device::{Backend, Place};
use super::host;
use super::host::update::{Update, Vectors};
use super::layout::{Layout, lend, norm, read_vector, values};
use super::planted::Planted;
use crate::execute::Failure;
use crate::history::At;
use crate::record::{self, State, Tensors};
use crate::spec::Optimizer;

const MOMENTS: [&str; 2] = [".moment_1", ".moment_2"];
/// Name of the counters, of optimizer and average alike.
const UPDATES: &str = "updates";

/// Weights and everything that changes with them.
pub struct Weights {
    layout: Layout,
    place: Place,
    current: Tensor<1>,
    /// Moments of AdamW with the number of updates; `None` before the first.
    moments: Option<AdaptiveMomentumState<1>>,
    average: Option<Average>,
}

/// Running average of the weights.
struct Average {
    weights: Tensor<1>,
    updates: u64,
}

impl Weights {
    /// Puts a state on the device; every tensor must find its place.
    pub fn new(layout: Layout, state: &State, place: Place) -> Result<Weights, Failure> {
        let device = &place.device;
        let current = layout.place(&state.model, "", "weights", device)?;
        layout.refuse_left_over(&state.model, &[""], &[], "weights")?;
        let moments = if state.optimizer.is_empty() { None } else { Some(moments(&layout, &state.optimizer, &place)?) };
        let average = if state.ema.is_empty() { None } else { Some(average(&layout, &state.ema, &place)?) };
        Ok(Weights { layout, current, moments, average, place })
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The parameters, in the order of the layout, without gradients.
    pub fn parts(&self) -> Vec<Tensor<1>> {
        self.layout.split(&self.current)
    }

    /// Lends the values out; see [`lend`].
    pub fn lend<R>(&mut self, work: impl FnOnce(&[f32]) -> R) -> Result<R, Failure> {
        lend([&mut self.current], |[current]| work(values(current)))
    }

    /// Digest of each parameter; see [`Layout::digests`].
    pub fn digests(&mut self) -> Result<Vec<u64>, Failure> {
        self.layout.digests(&mut self.current)
    }

    /// Changes the weights by a mistake on purpose.
    pub fn plant(&mut self, planted: &Planted, at: &At) -> Result<(), Failure> {
        self.current = planted.moved(at, &self.layout, self.current.clone(), true)?;
        Ok(())
    }

    /// The state as named tensors.
    pub fn state(&self) -> Result<State, Failure> {
        let mut state = State { model: self.layout.read(&self.current, "")?, ..State::default() };
        if let Some(moments) = &self.moments {
            state.optimizer = self.layout.read(&moments.moment_1, MOMENTS[0])?;
            state.optimizer.extend(self.layout.read(&moments.moment_2, MOMENTS[1])?);
            state.optimizer.insert(UPDATES.into(), record::Tensor::counter(moments.time as u64));
        }
        if let Some(average) = &self.average {
            state.ema = self.layout.read(&average.weights, "")?;
            state.ema.insert(UPDATES.into(), record::Tensor::counter(average.updates));
        }
        Ok(state)
    }

    /// Makes one update from the gradient of the whole batch and its norm. On the CPU, `digests` asks for digests of the
    /// gradient's tensors.
    pub fn update(&mut self, at: &At, gradient: Tensor<1>, norm: Tensor<1>, digests: bool) -> Result<Vec<u64>, Failure> {
        self.average = match (at.ema, self.average.take()) {
            (None, _) => None,
            // It begins as what the weights were before its first update.
            (Some(_), average) => average.or_else(|| Some(Average { weights: self.current.clone(), updates: 0 })),
        };
        match self.place.backend {
            Backend::Flex => self.update_in_place(at, gradient, norm, digests),
            Backend::Gpu(_) => {
                self.update_on_device(at, gradient, norm);
                Ok(vec![])
            }
        }
    }

    /// In the machine's memory, in one pass over it. The gradient is digested meanwhile, where there is a thread for it.
    fn update_in_place(
        &mut self,
        at: &At,
        mut gradient: Tensor<1>,
        norm: Tensor<1>,
        digests: bool,
    ) -> Result<Vec<u64>, Failure> {
        let Optimizer::AdamW { weight_decay, beta_1, beta_2, epsilon } = at.optimizer;
        let zeros = || Tensor::zeros([self.layout.padded()], &self.place.device);
        let mut moments = match self.moments.take() {
            Some(moments) => moments,
            None => AdaptiveMomentumState::new(0, zeros(), zeros()),
        };
        moments.time += 1;
        let share = at.ema.zip(self.average.as_mut()).map(|(decay, average)| average.next_share(decay));
        let update = Update {
            rate: at.rate,
            weight_decay: weight_decay as f32,
            beta_1: beta_1 as f32,
            beta_2: beta_2 as f32,
            epsilon: epsilon as f32,
            number: moments.time as u64,
            clip: at.clip.map(|most| Ok((read_vector(norm)?[0], most))).transpose()?,
            average: share,
        };
        let mut none = Tensor::zeros([0], &self.place.device);
        let average = self.average.as_mut().map_or(&mut none, |average| &mut average.weights);
        let lent = [&mut self.current, &mut moments.moment_1, &mut moments.moment_2, average, &mut gradient];
        let (layout, threads) = (&self.layout, self.place.crew.threads());
        let digests = lend(lent, |[current, first, second, average, gradient]| {
            let vectors = Vectors {
                weights: values(current),
                moment_1: values(first),
                moment_2: values(second),
                average: values(average),
            };
            let gradient = &*values(gradient);
            let digest = || if digests { layout.digests_of(gradient) } else { vec![] };
            host::work::both(threads, || host::update::update(threads, &update, vectors, gradient), digest).1
        })?;
        self.moments = Some(moments);
        Ok(digests)
    }

    fn update_on_device(&mut self, at: &At, gradient: Tensor<1>, norm: Tensor<1>) {
        let gradient = match at.clip {
            Some(most) => clip(gradient, norm, most),
            None => gradient,
        };
        self.adamw(at, gradient);
        if let (Some(decay), Some(average)) = (at.ema, &mut self.average) {
            average.follow(&self.current, decay);
        }
    }

    /// AdamW (Loshchilov and Hutter, 2019) as burn has it, over all parameters at once.
    fn adamw(&mut self, at: &At, gradient: Tensor<1>) {
        let Optimizer::AdamW { weight_decay, beta_1, beta_2, epsilon } = at.optimizer;
        let config = AdamWConfig::new().with_beta_1(beta_1 as f32).with_beta_2(beta_2 as f32);
        let adamw = config.with_epsilon(epsilon as f32).with_weight_decay(weight_decay as f32).build();
        let empty = Tensor::zeros([0], &self.place.device);
        let current = std::mem::replace(&mut self.current, empty);
        let state = self.moments.take().map(AdamWState::new);
        let (current, state) = adamw.step(at.rate, current, gradient, state);
        self.current = current;
        self.moments = state.map(|state| state.momentum);
    }
}

/// Scales a gradient whose global norm is above `most` down to it.
fn clip(gradient: Tensor<1>, norm: Tensor<1>, most: f64) -> Tensor<1> {
    let scale = norm.clamp_min(f32::MIN_POSITIVE).recip().mul_scalar(most).clamp_max(1.0);
    gradient.mul(scale)
}

/// Global norm of a gradient, `[1]`.
pub fn gradient_norm(gradient: &mut Tensor<1>, place: &Place) -> Result<Tensor<1>, Failure> {
    match place.backend {
        Backend::Gpu(_) => Ok(norm(gradient)),
        Backend::Flex => {
            let norm = lend([gradient], |[data]| host::update::norm(place.crew.threads(), values(data)))?;
            Ok(vector(vec![norm], place))
        }
    }
}

fn vector(values: Vec<f32>, place: &Place) -> Tensor<1> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), &place.device)
}

impl Average {
    /// Counts an update; the share of the average that stays at the n-th one, min(d, (1 + n) / (10 + n)), so that early
    /// averages mean something.
    fn next_share(&mut self, decay: f64) -> f64 {
        self.updates += 1;
        let n = self.updates as f64;
        decay.min((1.0 + n) / (10.0 + n))
    }

    /// Moves towards the weights.
    fn follow(&mut self, weights: &Tensor<1>, decay: f64) {
        let decay = self.next_share(decay);
        let old = self.weights.clone().mul_scalar(decay);
        self.weights = old.add(weights.clone().mul_scalar(1.0 - decay));
    }
}

fn moments(layout: &Layout, tensors: &Tensors, place: &Place) -> Result<AdaptiveMomentumState<1>, Failure> {
    let what = "optimizer";
    layout.refuse_left_over(tensors, &MOMENTS, &[UPDATES], what)?;
    let [first, second] = MOMENTS.map(|moment| layout.place(tensors, moment, what, &place.device));
    Ok(AdaptiveMomentumState::new(counter(tensors, what)? as usize, first?, second?))
}

fn average(layout: &Layout, tensors: &Tensors, place: &Place) -> Result<Average, Failure> {
    let what = "running average";
    layout.refuse_left_over(tensors, &[""], &[UPDATES], what)?;
    Ok(Average { weights: layout.place(tensors, "", what, &place.device)?, updates: counter(tensors, what)? })
}

fn counter(tensors: &Tensors, what: &str) -> Result<u64, Failure> {
    let found = tensors.get(UPDATES).and_then(record::Tensor::as_counter);
    found.ok_or_else(|| Failure::Misfit(format!("the counter `{UPDATES}` of the {what} is missing")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::device::Choice;
    use crate::train::testing::{self, history, micro, plain};

    /// A gradient of any kind.
    fn gradient(layout: &Layout, step: u64, place: &Place) -> Tensor<1> {
        let value = |index: usize| ((index as u64 * 7919 + step * 104_729) % 1009) as f32 / 504.5 - 1.0;
        let values: Vec<f32> = (0..layout.padded()).map(value).collect();
        Tensor::from_data(TensorData::new(values, [layout.padded()]), &place.device)
    }

    fn fresh(place: &Place) -> Weights {
        let layout = Layout::new(&micro());
        let state = State { model: layout.initial(1), ..State::default() };
        Weights::new(layout, &state, place.clone()).unwrap()
    }

    /// AdamW as published, in f64, with a rate and a decay that change from step to step.
    #[test]
    fn updates_follow_the_published_formulas() {
        let place = Choice::Cpu.open().unwrap();
        let mut weights = fresh(&place);
        let mut expected: Vec<f64> = read_vector(weights.current.clone()).unwrap().into_iter().map(f64::from).collect();
        let (mut first, mut second) = (vec![0.0; expected.len()], vec![0.0; expected.len()]);
        for step in 0..20 {
            let decay = 0.1 * step as f64;
            let optimizer = Optimizer::default().with_weight_decay(decay);
            let at = At { rate: 1e-2 / (step + 1) as f64, optimizer, clip: Some(5.0), ..history(plain(), 20).at(step) };
            let raw = gradient(&weights.layout, step, &place);
            let values: Vec<f64> = read_vector(raw.clone()).unwrap().into_iter().map(f64::from).collect();
            let norm = values.iter().map(|g| g * g).sum::<f64>().sqrt();
            let mut raw = raw;
            let ours = gradient_norm(&mut raw, &place).unwrap();
            assert!((f64::from(read_vector(ours.clone()).unwrap()[0]) / norm - 1.0).abs() < 1e-6);
            weights.update(&at, raw, ours, false).unwrap();
            let n = step as i32 + 1;
            for (index, value) in values.iter().enumerate() {
                let g = value * (5.0 / norm).min(1.0);
                first[index] = 0.9 * first[index] + 0.1 * g;
                second[index] = 0.999 * second[index] + 0.001 * g * g;
                let corrected = (first[index] / (1.0 - 0.9_f64.powi(n)), second[index] / (1.0 - 0.999_f64.powi(n)));
                expected[index] *= 1.0 - at.rate * decay;
                expected[index] -= at.rate * corrected.0 / (corrected.1.sqrt() + 1e-8);
            }
        }
        let got = read_vector(weights.current.clone()).unwrap();
        let end = weights.layout.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum::<usize>();
        let furthest = got[..end].iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        assert!(furthest < 1e-5, "{furthest}");
    }

    /// What a GPU does with burn's operations, against the one pass over memory.
    #[test]
    fn both_ways_make_the_same_update() {
        let (place, gpu) = (Choice::Cpu.open().unwrap(), testing::gpu().place);
        let (mut in_place, mut on_device) = (fresh(&place), fresh(&gpu));
        for step in 0..20 {
            let at = At { ema: Some(0.999), clip: Some(5.0), ..history(plain(), 20).at(step) };
            let norm = gradient_norm(&mut gradient(&in_place.layout, step, &place), &place).unwrap();
            let same = Tensor::from_data(norm.to_data(), &gpu.device);
            in_place.update(&at, gradient(&in_place.layout, step, &place), norm, false).unwrap();
            on_device.update(&at, gradient(&on_device.layout, step, &gpu), same, false).unwrap();
        }
        let (one, other) = (in_place.state().unwrap(), on_device.state().unwrap());
        if testing::is_imitated() {
            assert_eq!(one, other);
        }
        for (one, other) in [(&one.model, &other.model), (&one.ema, &other.ema)] {
            for (path, tensor) in one.iter().filter(|(path, _)| *path != UPDATES) {
                let pairs = tensor.as_f32().unwrap().iter().zip(other[path].as_f32().unwrap());
                let furthest = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(furthest < 1e-6, "{path}: {furthest}");
            }
        }
    }

    #[test]
    fn a_state_comes_back_bit_for_bit() {
        let place = Choice::Cpu.open().unwrap();
        let mut weights = fresh(&place);
        for step in 0..3 {
            let mut raw = gradient(&weights.layout, step, &place);
            let norm = gradient_norm(&mut raw, &place).unwrap();
            weights.update(&history(plain(), 3).at(step), raw, norm, false).unwrap();
        }
        let state = weights.state().unwrap();
        assert_eq!(state.optimizer["updates"].as_counter(), Some(3));
        assert_eq!(state.optimizer.len(), 2 * state.model.len() + 1);
        let again = Weights::new(Layout::new(&micro()), &state, place).unwrap();
        assert_eq!(again.state().unwrap(), state);
    }
}
