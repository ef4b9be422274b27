//! The network once more, in f64 and as plainly as can be: what the fast one is compared with.

use std::collections::BTreeMap;

use super::Shown;
use super::masks::{Masks, hash};
use super::plan::CHARGES;
use crate::task::model::Recursive;

/// Rows of equal length.
type Table = Vec<Vec<f64>>;

/// Logits `[T, B, L, V]` of weights in the order of the model's parameters.
pub fn logits(model: &Recursive, weights: &[f64], shown: &Shown<'_>, masks: &Masks) -> Vec<f64> {
    let mut at = 0;
    let mut tables = BTreeMap::new();
    for parameter in model.parameters() {
        let columns = *parameter.shape.last().unwrap();
        let length: usize = parameter.shape.iter().product();
        let rows: Table = weights[at..at + length].chunks(columns).map(<[f64]>::to_vec).collect();
        tables.insert(parameter.path, rows);
        at += length;
    }
    let mut all = vec![vec![]; model.supervision_steps as usize];
    for sample in 0..shown.rows {
        let mut network = Reference { model, tables: &tables, masks, sample, site: 0 };
        for (step, answer) in network.forward(shown).into_iter().enumerate() {
            all[step].extend(answer.into_iter().flatten());
        }
    }
    all.concat()
}

struct Reference<'a> {
    model: &'a Recursive,
    tables: &'a BTreeMap<String, Table>,
    masks: &'a Masks,
    sample: usize,
    site: u64,
}

impl Reference<'_> {
    fn forward(&mut self, shown: &Shown<'_>) -> Vec<Table> {
        let (spectrum, bias) = self.encode(shown);
        let steps = self.model.supervision_steps as usize;
        let (mut y, mut z) = (self.tables["core.answer"].clone(), self.tables["core.latent"].clone());
        let mut answers = vec![];
        for step in 0..steps {
            let place = &self.tables["core.position"];
            let p: Table = y.iter().map(|row| softmax(row)).collect();
            let mut known = multiply(&p, &self.tables["core.embed"]);
            for (row, place) in known.iter_mut().zip(place) {
                *row = sum(&sum(row, place), &self.tables["core.step"][step]);
            }
            for _ in 0..self.model.latent_steps {
                let refined = self.decode(&add(&known, &z), Some((&spectrum, &bias)));
                z = add(&z, &self.norm("core.norm_latent", &refined));
            }
            let decoded = self.decode(&add(&known, &z), None);
            let x = self.norm("core.norm_answer", &decoded);
            let (out, gate) = (self.linear("core.out", &x), self.linear("core.gate", &x));
            for ((y, out), gate) in y.iter_mut().zip(out).zip(gate) {
                let gate = 1.0 / (1.0 + (-gate[0]).exp());
                y.iter_mut().zip(out).for_each(|(y, out)| *y += gate * (out - *y));
            }
            answers.push(y.clone());
        }
        answers
    }

    fn encode(&mut self, shown: &Shown<'_>) -> (Table, Vec<f64>) {
        let (from, peaks, width) = (self.sample, shown.peaks, self.model.hidden as usize);
        let mz_width = width - self.model.intensity_width();
        let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<f64>>();
        let charge = multiply(&vec![wide(&shown.charge[from * CHARGES..][..CHARGES])], &self.tables["precursor.charge"]);
        let mut x = vec![sum(&charge[0], &wide(&shown.precursor[from * width..][..width]))];
        for peak in from * peaks..(from + 1) * peaks {
            let intensity = vec![vec![f64::from(shown.log_intensity[peak])]];
            let mut row = wide(&shown.mz[peak * mz_width..][..mz_width]);
            row.extend(&self.linear("peaks.intensity", &intensity)[0]);
            x.push(row);
        }
        x = self.drop(x);
        let bias = wide(&shown.bias[from * (1 + peaks)..][..1 + peaks]);
        for index in 0..self.model.encoder_layers {
            let at = format!("encoder.{index}");
            let normed = self.norm(&format!("{at}.norm_attention"), &x);
            let branch = self.attend(&format!("{at}.attention"), &normed, &normed, &bias);
            x = add(&x, &self.drop(branch));
            x = self.feed_forward(&at, x);
        }
        (self.norm("encoder.norm", &x), bias)
    }

    fn decode(&mut self, input: &Table, memory: Option<(&Table, &Vec<f64>)>) -> Table {
        let all = vec![0.0; input.len()];
        let (memory, bias) = memory.unwrap_or((input, &all));
        let mut x = input.clone();
        for index in 0..self.model.decoder_layers {
            let at = format!("decoder.{index}");
            let normed = self.norm(&format!("{at}.norm_self"), &x);
            let branch = self.attend(&format!("{at}.self_attention"), &normed, &normed, &all);
            x = add(&x, &self.drop(branch));
            let normed = self.norm(&format!("{at}.norm_cross"), &x);
            let branch = self.attend(&format!("{at}.cross_attention"), &normed, memory, bias);
            x = add(&x, &self.drop(branch));
            x = self.feed_forward(&at, x);
        }
        x
    }

    fn feed_forward(&mut self, at: &str, x: Table) -> Table {
        let normed = self.norm(&format!("{at}.norm_feed_forward"), &x);
        let mut hidden = self.linear(&format!("{at}.widen"), &normed);
        hidden.iter_mut().flatten().for_each(|x| *x *= 0.5 * (1.0 + erf(*x / 2_f64.sqrt())));
        let branch = self.linear(&format!("{at}.narrow"), &hidden);
        add(&x, &self.drop(branch))
    }

    fn attend(&self, at: &str, x: &Table, memory: &Table, bias: &[f64]) -> Table {
        let part = |name: &str, x: &Table| self.linear(&format!("{at}.{name}"), x);
        let (queries, keys, values) = (part("query", x), part("key", memory), part("value", memory));
        let depth = (self.model.hidden / self.model.heads) as usize;
        let mut seen = vec![vec![]; x.len()];
        for head in 0..self.model.heads as usize {
            let columns = head * depth..(head + 1) * depth;
            for (query, seen) in queries.iter().zip(&mut seen) {
                let score = |(key, bias): (&Vec<f64>, &f64)| {
                    let dot: f64 = query[columns.clone()].iter().zip(&key[columns.clone()]).map(|(q, k)| q * k).sum();
                    dot / (depth as f64).sqrt() + bias
                };
                let shares = softmax(&keys.iter().zip(bias).map(score).collect::<Vec<f64>>());
                for column in columns.clone() {
                    seen.push(shares.iter().zip(&values).map(|(share, value)| share * value[column]).sum());
                }
            }
        }
        part("output", &seen)
    }

    fn linear(&self, at: &str, x: &Table) -> Table {
        let bias = &self.tables[&format!("{at}.bias")][0];
        multiply(x, &self.tables[&format!("{at}.weight")]).iter().map(|row| sum(row, bias)).collect()
    }

    fn norm(&self, at: &str, x: &Table) -> Table {
        let (gamma, beta) = (&self.tables[&format!("{at}.gamma")][0], &self.tables[&format!("{at}.beta")][0]);
        let one = |row: &Vec<f64>| {
            let mean = row.iter().sum::<f64>() / row.len() as f64;
            let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / row.len() as f64;
            let scaled = row.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt());
            scaled.zip(gamma.iter().zip(beta)).map(|(x, (gamma, beta))| x * gamma + beta).collect()
        };
        x.iter().map(one).collect()
    }

    fn drop(&mut self, mut x: Table) -> Table {
        if self.masks.drops() {
            let key = self.masks.key(self.sample, self.site);
            self.site += 1;
            for (index, x) in x.iter_mut().flatten().enumerate() {
                let dropped = u64::from(hash(index as u32, key)) < self.masks.threshold();
                *x *= if dropped { 0.0 } else { f64::from(self.masks.scale()) };
            }
        }
        x
    }
}

fn softmax(row: &[f64]) -> Vec<f64> {
    let highest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = row.iter().map(|x| (x - highest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|x| x / sum).collect()
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn add(a: &Table, b: &Table) -> Table {
    a.iter().zip(b).map(|(a, b)| sum(a, b)).collect()
}

fn multiply(a: &Table, b: &Table) -> Table {
    let column = |row: &Vec<f64>, column: usize| row.iter().zip(b).map(|(x, line)| x * line[column]).sum();
    a.iter().map(|row| (0..b[0].len()).map(|at| column(row, at)).collect()).collect()
}

/// erf by its series; what is asked of it is small.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > 1e-18 {
        n += 1.0;
        term *= -x * x / n;
        sum += term / (2.0 * n + 1.0);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}
