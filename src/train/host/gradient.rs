//! The gradients of the weights: for each matrix the product X^T dY of all inputs and output gradients of all lanes.
//!
//! Each element is one sum in the order of lanes, passes and rows, cut into chunks of fixed size, so that it does not matter
//! which thread computes it, or how many there are.

use super::lane::Lane;
use super::plan::{Attention, FeedForward, Linear, Matrix, Norm, Plan, Small};
use super::product::{PANEL, Product, Rows, SLACK, Start};
use super::rows::Kernel;
use super::work;

/// Rows that are summed at a time: so many, packed to a panel's width, stay in the first cache.
const CHUNK: usize = 128;
/// Elements of a matrix that are one piece of work, about.
const PIECE: usize = 1 << 15;

/// A matrix's gradient.
struct Sum<'a> {
    matrix: Matrix,
    terms: Vec<Term<'a>>,
    norm: Option<(Norm, Small)>,
}

/// X^T dY of so many rows.
#[derive(Clone, Copy)]
struct Term<'a> {
    rows: usize,
    left: Rows<'a>,
    right: Rows<'a>,
}

/// Some rows of a matrix's gradient.
struct Piece<'a, 'b> {
    sum: &'b Sum<'a>,
    from: usize,
    rows: usize,
}

/// Writes the gradient of all parameters from what the lanes' backward passes left.
pub fn write(plan: &Plan, kernel: Kernel, threads: usize, weights: &[f32], lanes: &[Lane], gradient: &mut [f32]) {
    gradient[plan.padded - plan.padded.min(256)..].fill(0.0);
    let mut small = vec![0.0; plan.sums];
    lanes.iter().for_each(|lane| kernel.add(&mut small, &lane.sums));
    for part in &plan.smalls {
        gradient[part.at..][..part.length].copy_from_slice(&small[part.sums..][..part.length]);
    }
    let mut sums = sums(plan, lanes);
    sums.sort_by_key(|sum| sum.matrix.at);
    let pieces: Vec<Piece<'_, '_>> = sums.iter().flat_map(pieces).collect();
    let ranges = pieces.iter().map(|piece| {
        let columns = piece.sum.matrix.columns;
        (piece.sum.matrix.at + piece.from * columns, piece.rows * columns)
    });
    let parts = work::cut(gradient, ranges);
    let mut items: Vec<_> = pieces.iter().zip(parts).collect();
    // The longest first, so that no thread is left with one at the end.
    items.sort_by_key(|(piece, _)| std::cmp::Reverse(piece.work()));
    work::share(threads, items, |(piece, part)| piece.compute(kernel, weights, &small, part));
}

/// Pieces of at least some rows, however long they are.
fn pieces<'a, 'b>(sum: &'b Sum<'a>) -> impl Iterator<Item = Piece<'a, 'b>> {
    let most = (PIECE / sum.matrix.columns).max(96);
    super::product::parts(sum.matrix.rows, most).map(move |(from, rows)| Piece { sum, from, rows })
}

impl Piece<'_, '_> {
    fn work(&self) -> usize {
        self.sum.terms.iter().map(|term| term.rows).sum::<usize>() * self.rows * self.sum.matrix.columns
    }

    fn compute(&self, kernel: Kernel, weights: &[f32], small: &[f32], into: &mut [f32]) {
        let columns = self.sum.matrix.columns;
        let mut packed = [0.0; CHUNK * PANEL + SLACK];
        let mut start = Start::Zero;
        for term in &self.sum.terms {
            for from in (0..term.rows).step_by(CHUNK) {
                let rows = CHUNK.min(term.rows - from);
                let a = Rows { values: &term.left.values[from * term.left.row + self.from..], row: term.left.row };
                for column in (0..columns).step_by(PANEL) {
                    let n = PANEL.min(columns - column);
                    let right = &term.right.values[from * term.right.row + column..];
                    let b = if term.right.row <= PANEL {
                        Rows { values: right, row: term.right.row }
                    } else {
                        for (into, row) in packed.chunks_exact_mut(n).zip(right.chunks(term.right.row)).take(rows) {
                            into.copy_from_slice(&row[..n]);
                        }
                        Rows { values: &packed, row: n }
                    };
                    let c = &mut into[column..];
                    let product = Product::<true> { m: self.rows, k: rows, n, a, b, c, c_row: columns, start };
                    kernel.0.dispatch(product);
                }
                start = Start::Result;
            }
        }
        let Some((norm, bias)) = self.sum.norm else { return };
        // x is gamma hat + beta: x^T dY = gamma (hat^T dY) + beta (sum of dY).
        let gamma = &weights[norm.gamma.at + self.from..][..self.rows];
        let beta = &weights[norm.beta.at + self.from..][..self.rows];
        let bias = &small[bias.sums..][..columns];
        for ((row, gamma), beta) in into.chunks_exact_mut(columns).zip(gamma).zip(beta) {
            row.iter_mut().zip(bias).for_each(|(x, bias)| *x = *x * gamma + beta * bias);
        }
    }
}

fn sums<'a>(plan: &Plan, lanes: &'a [Lane]) -> Vec<Sum<'a>> {
    let mut all = Sums { plan, lanes, sums: vec![] };
    all.ends();
    for index in 0..plan.encoder.len() {
        all.encoder_layer(index);
    }
    for index in 0..plan.decoder.len() {
        all.decoder_layer(index);
    }
    all.sums
}

struct Sums<'p, 'a> {
    plan: &'p Plan,
    lanes: &'a [Lane],
    sums: Vec<Sum<'a>>,
}

/// A matrix in a slice, from a column on.
fn columns(values: &[f32], row: usize, from: usize) -> Rows<'_> {
    Rows { values: &values[from..], row }
}

impl<'a> Sums<'_, 'a> {
    fn push(&mut self, matrix: Matrix, norm: Option<(Norm, Small)>, term: impl Fn(&'a Lane) -> Term<'a>) {
        let terms = self.lanes.iter().map(term).collect();
        self.sums.push(Sum { matrix, terms, norm });
    }

    fn linear(&mut self, linear: Linear, norm: Option<Norm>, term: impl Fn(&'a Lane) -> Term<'a>) {
        self.push(linear.weight, norm.map(|norm| (norm, linear.bias)), term);
    }

    fn ends(&mut self) {
        let plan = self.plan;
        let (width, vocabulary, mz_width) = (plan.width, plan.vocabulary, plan.mz_width);
        let encoder = |lane: &Lane| lane.encoder_block(plan).rows();
        let answers = |lane: &Lane| plan.steps * lane.decoder_block(plan).rows();
        self.push(plan.intensity, None, |lane| {
            let right = columns(&lane.ends.stream, width, mz_width);
            Term { rows: encoder(lane), left: columns(&lane.ends.intensity, 2, 0), right }
        });
        self.push(plan.charge, None, |lane| {
            let left = columns(&lane.ends.charge, super::plan::CHARGES, 0);
            Term { rows: encoder(lane), left, right: columns(&lane.ends.stream, width, 0) }
        });
        self.push(plan.embed, None, |lane| {
            let left = columns(&lane.core.probabilities, vocabulary, 0);
            Term { rows: answers(lane), left, right: columns(&lane.core.known_gradient, width, 0) }
        });
        self.linear(plan.out, Some(plan.norm_answer), |lane| {
            let left = columns(&lane.core.answer.hat, width, 0);
            Term { rows: answers(lane), left, right: columns(&lane.core.change, vocabulary, 0) }
        });
        self.linear(plan.gate, Some(plan.norm_answer), |lane| {
            let left = columns(&lane.core.answer.hat, width, 0);
            Term { rows: answers(lane), left, right: columns(&lane.core.gate, 1, 0) }
        });
    }

    fn encoder_layer(&mut self, index: usize) {
        let (plan, layer) = (self.plan, self.plan.encoder[index]);
        let rows = move |lane: &Lane| lane.encoder_block(plan).rows();
        self.own(&layer.attention, rows, move |lane| &lane.encoder[index].own);
        self.feed_forward(&layer.feed_forward, rows, move |lane| &lane.encoder[index].feed_forward);
    }

    fn decoder_layer(&mut self, index: usize) {
        let (plan, layer, width) = (self.plan, self.plan.decoder[index], self.plan.width);
        let rows = move |lane: &Lane| plan.passes() * lane.decoder_block(plan).rows();
        self.own(&layer.own, rows, move |lane| &lane.decoder[index].own);
        self.feed_forward(&layer.feed_forward, rows, move |lane| &lane.decoder[index].feed_forward);
        self.linear(layer.cross.query, Some(layer.cross.norm), |lane| {
            let tape = &lane.decoder[index].cross;
            Term { rows: rows(lane), left: columns(&tape.normed.hat, width, 0), right: columns(&tape.query, width, 0) }
        });
        self.linear(layer.cross.output, None, |lane| {
            let tape = &lane.decoder[index].cross;
            Term { rows: rows(lane), left: columns(&tape.seen, width, 0), right: columns(&tape.branch, width, 0) }
        });
        for (part, linear) in [layer.cross.key, layer.cross.value].into_iter().enumerate() {
            let terms = self.lanes.iter().flat_map(|lane| {
                let tape = &lane.decoder[index];
                let right = |values| columns(values, 2 * width, part * width);
                let left = |values| columns(values, width, 0);
                let (encoder, answers) = (lane.encoder_block(plan).rows(), plan.steps * lane.decoder_block(plan).rows());
                let spectrum = Term { rows: encoder, left: left(&lane.ends.spectrum), right: right(&tape.spectrum_gradient) };
                [spectrum, Term { rows: answers, left: left(&lane.core.input), right: right(&tape.input) }]
            });
            self.sums.push(Sum { matrix: linear.weight, terms: terms.collect(), norm: None });
        }
    }

    fn own(
        &mut self,
        layer: &Attention,
        rows: impl Fn(&Lane) -> usize,
        tape: impl Fn(&'a Lane) -> &'a super::attending::OwnTape,
    ) {
        let width = self.plan.width;
        for (part, linear) in [layer.query, layer.key, layer.value].into_iter().enumerate() {
            self.linear(linear, Some(layer.norm), |lane| {
                let right = columns(&tape(lane).inner, 3 * width, part * width);
                Term { rows: rows(lane), left: columns(&tape(lane).normed.hat, width, 0), right }
            });
        }
        self.linear(layer.output, None, |lane| {
            let right = columns(&tape(lane).branch, width, 0);
            Term { rows: rows(lane), left: columns(&tape(lane).seen, width, 0), right }
        });
    }

    fn feed_forward(
        &mut self,
        layer: &FeedForward,
        rows: impl Fn(&Lane) -> usize,
        tape: impl Fn(&'a Lane) -> &'a super::blocks::FeedTape,
    ) {
        let width = self.plan.width;
        self.linear(layer.widen, Some(layer.norm), |lane| {
            let right = columns(&tape(lane).slope, 4 * width, 0);
            Term { rows: rows(lane), left: columns(&tape(lane).normed.hat, width, 0), right }
        });
        self.linear(layer.narrow, None, |lane| {
            let left = columns(&tape(lane).hidden, 4 * width, 0);
            Term { rows: rows(lane), left, right: columns(&tape(lane).branch, width, 0) }
        });
    }
}
