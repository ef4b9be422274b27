//! `ledger.bin`: for every update the bits of what went into it and of what came out of it, so that two runs can be compared
//! step by step and the first difference be named.
//!
//! A table of 64-bit words. Its columns stand in the order of cause and effect within an update: the batch, the schedule,
//! the terms of the loss, the gradients, the updated values. So the first column that differs in the first row that differs
//! is where two runs part. Every row ends in a word that chains it to all rows before it.
//!
//! The file: eight bytes of magic, the length of a JSON header (u32), the header, the rows; whole numbers little-endian.

use std::collections::BTreeMap;
use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use super::column::Column;
use super::digest::{digest64, state_digests};
use super::manifest::FORMAT;
use super::tensors::State;
use crate::history::{At, Id};
use crate::task::loss::Loss;

const MAGIC: [u8; 8] = *b"LEDGER\r\n";
/// Bytes of a word.
const WORD: usize = 8;

/// What one update took and gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The update went from this step to the next.
    pub step: u64,
    /// Digest of the batch: [`batch_digest`](super::batch_digest).
    pub batch: u64,
    /// Learning rate and weights as they were used.
    pub rate: f64,
    pub weights: BTreeMap<Loss, f64>,
    /// Raw terms of the loss.
    pub terms: BTreeMap<Loss, f32>,
    /// Digest of each tensor's gradient before clipping; empty where only checkpoints are digested.
    pub gradients: Vec<u64>,
    /// Global norm of the gradient before clipping.
    pub gradient_norm: f32,
    /// Digest of each tensor after the update; empty where only checkpoints are digested.
    pub values: Vec<u64>,
}

/// The ledger of a segment: of the updates from one checkpoint to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger {
    from: u64,
    /// The last chained word before the first row.
    chain: u64,
    columns: Vec<Column>,
    /// [`state_digests`] of the checkpoint at the end.
    ends: BTreeMap<String, u64>,
    /// Row by row; each has a word for each column and the chained one.
    words: Vec<u64>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    from: u64,
    steps: u64,
    chain: u64,
    columns: Vec<Column>,
    ends: BTreeMap<String, u64>,
}

impl Ledger {
    /// An empty ledger for the updates from `from` on. `chain` is the last chained word of the ledger before it, or
    /// [`Ledger::first_chain`]; `tensors` names the tensors whose digests every row holds.
    pub fn new(from: u64, chain: u64, tensors: &[String]) -> Ledger {
        let schedule = std::iter::once(Column::Rate).chain(Loss::ALL.map(Column::Weight));
        let columns = std::iter::once(Column::Batch)
            .chain(schedule)
            .chain(Loss::ALL.map(Column::Term))
            .chain(tensors.iter().cloned().map(Column::Gradient))
            .chain([Column::GradientNorm])
            .chain(tensors.iter().cloned().map(Column::Value));
        Ledger { from, chain, columns: columns.collect(), ends: BTreeMap::new(), words: Vec::new() }
    }

    /// The chained word before the first row of a lineage, or of one whose parent kept no ledger.
    pub fn first_chain(parent: Id) -> u64 {
        digest64(parent.hex().as_bytes())
    }

    /// The ledger that goes on where this one ends.
    #[must_use]
    pub fn next(&self) -> Ledger {
        Ledger {
            from: self.to(),
            chain: self.last_chain(),
            columns: self.columns.clone(),
            ends: BTreeMap::new(),
            words: Vec::new(),
        }
    }

    /// Adds the next update.
    ///
    /// # Panics
    /// If the entry is not the next step's, or has other tensors than the ledger: a defect of the caller.
    pub fn push(&mut self, entry: &Entry) {
        assert_eq!(entry.step, self.to(), "entries come in the order of their steps");
        let weight = |loss: Loss| entry.weights.get(&loss).map_or(0, |weight| weight.to_bits());
        let term = |loss: Loss| entry.terms.get(&loss).map_or(0, |term| u64::from(term.to_bits()));
        let begin = self.words.len();
        self.words.extend([entry.batch, entry.rate.to_bits()]);
        self.words.extend(Loss::ALL.map(weight));
        self.words.extend(Loss::ALL.map(term));
        self.words.extend(&entry.gradients);
        self.words.push(entry.gradient_norm.to_bits().into());
        self.words.extend(&entry.values);
        assert_eq!(self.words.len() - begin, self.columns.len(), "an entry has a word for each column");
        let before = if begin == 0 { self.chain } else { self.words[begin - 1] };
        self.words.push(chained(before, &self.words[begin..]));
    }

    /// Notes the tensors of the checkpoint at the end.
    pub fn end(&mut self, state: &State) {
        self.ends = state_digests(state).collect();
    }

    pub fn from(&self) -> u64 {
        self.from
    }

    /// The step of the checkpoint at the end.
    pub fn to(&self) -> u64 {
        self.from + (self.words.len() / self.width()) as u64
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub fn ends(&self) -> &BTreeMap<String, u64> {
        &self.ends
    }

    /// The words of an update, in the order of the columns.
    pub fn row(&self, step: u64) -> Option<&[u64]> {
        let begin = usize::try_from(step.checked_sub(self.from)?).ok()?.checked_mul(self.width())?;
        self.words.get(begin..begin + self.columns.len())
    }

    /// The last chained word: it depends on every bit of this ledger and of those before it.
    pub fn last_chain(&self) -> u64 {
        self.words.last().copied().unwrap_or(self.chain)
    }

    /// The last chained word of the ledger before this one.
    pub fn begins_with(&self) -> u64 {
        self.chain
    }

    fn width(&self) -> usize {
        self.columns.len() + 1
    }

    /// The first update whose row does not lead to its chained word.
    pub fn broken_chain(&self) -> Option<u64> {
        let mut before = self.chain;
        let broken = |row: &[u64]| {
            let (last, row) = row.split_last().expect("a row has a chained word");
            let expected = chained(std::mem::replace(&mut before, *last), row);
            expected != *last
        };
        let place = self.words.chunks_exact(self.width()).position(broken)?;
        Some(self.from + place as u64)
    }

    /// The first update that did not follow its schedule: rate or weights, with what was recorded and what `at` says.
    pub fn off_schedule(&self, at: &dyn Fn(u64) -> At) -> Option<(u64, Column, f64, f64)> {
        let scheduled = |column: &Column, at: &At| match column {
            Column::Rate => Some(at.rate),
            Column::Weight(loss) => Some(at.weights.get(loss).copied().unwrap_or(0.0)),
            _ => None,
        };
        (self.from..self.to()).find_map(|step| {
            let at = at(step);
            let pairs = self.columns.iter().zip(self.row(step)?);
            let mut expected =
                pairs.filter_map(|(column, word)| Some((column, f64::from_bits(*word), scheduled(column, &at)?)));
            let off = expected.find(|(_, recorded, scheduled)| recorded.to_bits() != scheduled.to_bits());
            off.map(|(column, recorded, scheduled)| (step, column.clone(), recorded, scheduled))
        })
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let header = Header {
            format: FORMAT,
            from: self.from,
            steps: self.to() - self.from,
            chain: self.chain,
            columns: self.columns.clone(),
            ends: self.ends.clone(),
        };
        let header = serde_json::to_vec(&header).expect("a header can be written as JSON");
        let mut bytes = Vec::with_capacity(MAGIC.len() + 4 + header.len() + self.words.len() * WORD);
        bytes.extend(MAGIC);
        bytes.extend((header.len() as u32).to_le_bytes());
        bytes.extend(header);
        bytes.extend(self.words.iter().flat_map(|word| word.to_le_bytes()));
        bytes
    }

    /// The ledger in a file's bytes.
    ///
    /// # Errors
    /// What is wrong with them. A format newer than this program's says so.
    pub fn decode(bytes: &[u8]) -> Result<Ledger, String> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or("it is no ledger")?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or("it ends before its header")?;
        let header = rest.get(..u32::from_le_bytes(*length) as usize).ok_or("it ends within its header")?;
        let rows = &rest[header.len()..];
        let header: Header = serde_json::from_slice(header).map_err(|error| format!("its header: {error}"))?;
        if header.format > FORMAT {
            return Err(format!("it has format {}, this version reads up to {FORMAT}: use a newer runner", header.format));
        }
        let ledger =
            Ledger { from: header.from, chain: header.chain, columns: header.columns, ends: header.ends, words: Vec::new() };
        let length = usize::try_from(header.steps).ok().and_then(|steps| steps.checked_mul(ledger.width() * WORD));
        if length != Some(rows.len()) || header.from.checked_add(header.steps).is_none() {
            return Err(format!("it has {} bytes of rows, not those of {} steps", rows.len(), header.steps));
        }
        let words = rows.as_chunks::<WORD>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        Ok(Ledger { words, ..ledger })
    }
}

fn chained(before: u64, row: &[u64]) -> u64 {
    let mut hasher = XxHash3_64::with_seed(before);
    row.iter().for_each(|word| hasher.write(&word.to_le_bytes()));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Tensor, Tensors};

    fn entry(step: u64) -> Entry {
        Entry {
            step,
            batch: step * 7,
            rate: 0.1,
            weights: BTreeMap::from([(Loss::CrossEntropy, 1.0)]),
            terms: BTreeMap::from([(Loss::CrossEntropy, 2.5)]),
            gradients: vec![step, 1],
            gradient_norm: 3.0,
            values: vec![step + 1, 2],
        }
    }

    fn ledger(steps: std::ops::Range<u64>, chain: u64) -> Ledger {
        let mut ledger = Ledger::new(steps.start, chain, &["a".into(), "b".into()]);
        steps.for_each(|step| ledger.push(&entry(step)));
        ledger
    }

    #[test]
    fn it_survives_its_file_and_refuses_others() {
        let mut whole = ledger(3..6, 9);
        whole.end(&State { model: Tensors::from([("a".into(), Tensor::f32([1], vec![1.0]))]), ..State::default() });
        let bytes = whole.encode();
        assert_eq!(Ledger::decode(&bytes), Ok(whole.clone()));
        assert_eq!((whole.from(), whole.to()), (3, 6));
        for end in 0..bytes.len() {
            assert!(Ledger::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        let newer = String::from_utf8_lossy(&bytes[12..40]).replace("\"format\":1", "\"format\":2");
        let bytes = [&bytes[..12], newer.as_bytes(), &bytes[40..]].concat();
        assert!(Ledger::decode(&bytes).unwrap_err().contains("use a newer runner"));
    }

    #[test]
    fn cuts_leave_no_trace_in_the_chain_and_changes_do() {
        let whole = ledger(0..6, 1);
        let mut first = ledger(0..2, 1);
        let mut second = first.next();
        (2..6).for_each(|step| second.push(&entry(step)));
        assert_eq!(second.last_chain(), whole.last_chain());
        assert_eq!(second.row(4), whole.row(4));
        assert_eq!(whole.broken_chain(), None);
        first.words[3] ^= 1;
        assert_eq!(first.broken_chain(), Some(0));
        let at_last = first.words.len() - 1;
        first.words[3] ^= 1;
        first.words[at_last] ^= 1;
        assert_eq!(first.broken_chain(), Some(1));
    }

    #[test]
    fn columns_are_named_and_stand_in_the_order_of_an_update() {
        let columns = ledger(0..1, 0).columns().to_vec();
        assert!(columns.windows(2).all(|pair| pair[0].part() <= pair[1].part()));
        for column in columns {
            assert_eq!(Column::try_from(column.to_string()), Ok(column));
        }
        assert!(Column::try_from("weight Nothing".to_owned()).is_err());
    }
}
