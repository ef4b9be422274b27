//! The network on the CPU, forward and backward by hand on slices of f32: the same mathematics as
//! [`network`](super::network), without burn and without a graph.
//!
//! A batch is cut into lanes of samples, in a way that depends on the batch alone. A lane is computed by one thread; what
//! lanes are summed into is summed in their order. So the bits do not depend on the number of threads.

mod attending;
mod attention;
mod backward;
mod blocks;
mod forward;
mod functions;
mod gradient;
mod lane;
pub mod masks;
mod plan;
mod product;
mod rows;
pub mod update;
pub mod work;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

use pulp::Arch;

use self::blocks::Shared;
use self::lane::Lane;
pub use self::lane::Shown;
pub use self::masks::Masks;
use self::plan::{Matrix, Plan};
use self::rows::Kernel;
use crate::task::model::Recursive;

/// Most lanes of a batch.
const LANES: usize = 16;

/// The recursive network with room for a batch's activations, which is kept from step to step.
pub struct HostNetwork {
    plan: Plan,
    kernel: Kernel,
    threads: usize,
    lanes: Vec<Lane>,
    /// Lanes of the last batch; the others keep their room.
    used: usize,
    /// The parameters with all matrices packed, and the matrices turned and packed; slack after both.
    weights: Vec<f32>,
    turned: Vec<f32>,
}

impl HostNetwork {
    /// For a model, on at most so many threads.
    pub fn new(model: &Recursive, threads: usize) -> HostNetwork {
        HostNetwork {
            plan: Plan::new(model),
            kernel: Kernel(Arch::new()),
            threads: threads.max(1),
            lanes: vec![],
            used: 0,
            weights: vec![],
            turned: vec![],
        }
    }

    /// On how many threads what follows is computed.
    pub fn set_threads(&mut self, threads: usize) {
        self.threads = threads.max(1);
    }

    /// Shape of the logits of so many samples, `[T, B, L, V]`.
    pub fn logits_shape(&self, rows: usize) -> [usize; 4] {
        [self.plan.steps, rows, self.plan.length, self.plan.vocabulary]
    }

    /// Length of the vectors of weights and gradients: all parameters in their order, padded as the layout pads them.
    pub fn padded(&self) -> usize {
        self.plan.padded
    }

    /// Logits after each supervised pass, `[T, B, L, V]`, and everything that [`HostNetwork::backward`] needs.
    pub fn forward(&mut self, weights: &[f32], shown: &Shown<'_>, masks: &Masks, logits: &mut Vec<f32>) {
        self.run(weights, shown, masks, logits, true);
    }

    /// The same logits without dropout, and nothing else.
    pub fn evaluate(&mut self, weights: &[f32], shown: &Shown<'_>, logits: &mut Vec<f32>) {
        self.run(weights, shown, &Masks::none(), logits, false);
    }

    fn run(&mut self, weights: &[f32], shown: &Shown<'_>, masks: &Masks, logits: &mut Vec<f32>, tape: bool) {
        assert!(!masks.drops() || masks.rows() == shown.rows, "masks for another number of rows");
        self.pack(weights);
        self.used = shown.rows.min(LANES);
        if self.lanes.len() < self.used {
            self.lanes.resize_with(self.used, Lane::default);
        }
        let plan = &self.plan;
        let shared = Shared { plan, kernel: self.kernel, weights: &self.weights, turned: &[] };
        let parts = product::parts(shown.rows, shown.rows.div_ceil(self.used.max(1)).max(1));
        let items: Vec<_> = self.lanes.iter_mut().zip(parts).collect();
        self.used = items.len();
        work::share(self.threads, items, |(lane, (first, samples))| {
            lane.prepare(plan, first, samples, shown, tape);
            lane.forward(&shared, shown, masks);
        });
        self.gather(shown.rows, logits);
    }

    /// The lanes' logits in the batch's order.
    fn gather(&self, batch: usize, logits: &mut Vec<f32>) {
        let each = self.plan.length * self.plan.vocabulary;
        logits.clear();
        logits.reserve(self.plan.steps * batch * each);
        for step in 0..self.plan.steps {
            for lane in &self.lanes[..self.used] {
                let size = lane.samples * each;
                logits.extend_from_slice(&lane.core.logits[step * size..][..size]);
            }
        }
    }

    /// The gradient of all parameters from that of the logits, `[T, B, L, V]`, after a forward pass with the same arguments.
    pub fn backward(&mut self, weights: &[f32], masks: &Masks, logit_gradients: &[f32], gradient: &mut [f32]) {
        assert!(self.lanes[..self.used].iter().all(|lane| lane.tape), "backward without a forward pass before it");
        self.turn(weights);
        let plan = &self.plan;
        let shared = Shared { plan, kernel: self.kernel, weights: &self.weights, turned: &self.turned };
        let lanes = &mut self.lanes[..self.used];
        let batch = lanes.iter().map(|lane| lane.samples).sum();
        work::share(self.threads, lanes.iter_mut().collect(), |lane| {
            lane.backward(&shared, logit_gradients, batch, masks);
            lane.tape = false;
        });
        gradient::write(plan, self.kernel, self.threads, weights, lanes, gradient);
    }

    /// Takes the parameters over, the matrices packed where they stand.
    fn pack(&mut self, weights: &[f32]) {
        let plan = &self.plan;
        blocks::ensure(&mut self.weights, plan.padded);
        for small in &plan.smalls {
            self.weights[small.at..][..small.length].copy_from_slice(&weights[small.at..][..small.length]);
        }
        // The intensity's bias is a row of its matrix.
        let bias = plan.intensity.at + plan.intensity.columns..plan.intensity.at + plan.intensity.size();
        self.weights[bias.clone()].copy_from_slice(&weights[bias]);
        let ranges = plan.matrices.iter().map(|matrix| (matrix.at, matrix.rows * matrix.columns));
        let parts = work::cut(&mut self.weights, ranges);
        let items = plan.matrices.iter().zip(parts).collect();
        work::share(self.threads, items, |(matrix, part): (&Matrix, &mut [f32])| {
            let row = |row: usize, column: usize| &weights[matrix.at + row * matrix.columns + column..];
            product::pack(matrix.rows, matrix.columns, row, part);
        });
    }

    /// Turns and packs all matrices; those that are multiplied with side by side become one.
    fn turn(&mut self, weights: &[f32]) {
        blocks::ensure(&mut self.turned, self.plan.turned);
        let ranges = self.plan.groups.iter().map(|group| (group[0].turned, group.iter().map(Matrix::size).sum()));
        let parts = work::cut(&mut self.turned, ranges);
        let items = self.plan.groups.iter().zip(parts).collect();
        work::share(self.threads, items, |(group, part): (&Vec<Matrix>, &mut [f32])| {
            let total = group.iter().map(|matrix| matrix.columns).sum();
            let mut first = 0;
            for matrix in group {
                product::pack_turned(&weights[matrix.at..], (matrix.rows, matrix.columns), (first, total), part);
                first += matrix.columns;
            }
        });
    }
}
