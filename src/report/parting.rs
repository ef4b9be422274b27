//! Where two records of the same updates first differ, and in what.

use serde::Serialize;

use crate::record::{Ledger, MetricsRow, Part};

/// The first difference between what was recorded and what was repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parting {
    /// The update from this step to the next.
    pub step: u64,
    pub part: Part,
    /// The column of the ledger: `batch`, `term Spectrum`, `value core.out.weight`.
    pub what: String,
    pub recorded: String,
    pub repeated: String,
    /// How many more columns of the same part differ in the same update.
    pub others: usize,
    /// Whether every update was looked at, or only logged ones.
    pub exact: bool,
}

/// Compares two ledgers over the updates that both hold. Columns that one of them lacks are left out.
pub fn parting(recorded: &Ledger, repeated: &Ledger) -> Option<Parting> {
    let place = |column| repeated.columns().iter().position(|other| other == column);
    let columns: Vec<_> =
        recorded.columns().iter().enumerate().filter_map(|(at, column)| Some((column, at, place(column)?))).collect();
    let steps = recorded.from().max(repeated.from())..recorded.to().min(repeated.to());
    let found = steps.into_iter().find_map(|step| {
        let (a, b) = (recorded.row(step)?, repeated.row(step)?);
        if recorded.columns() == repeated.columns() && a == b {
            return None;
        }
        let mut differing = columns.iter().filter(|(_, at, other)| a[*at] != b[*other]);
        let (column, at, other) = differing.next()?;
        Some(Parting {
            step,
            part: column.part(),
            what: column.to_string(),
            recorded: column.shown(a[*at]),
            repeated: column.shown(b[*other]),
            others: differing.filter(|(next, ..)| next.part() == column.part()).count(),
            exact: true,
        })
    });
    found.or_else(|| ends_parting(recorded, repeated))
}

/// Where the checkpoints at the ends differ: all that can be said of tensors that are not digested at every step.
fn ends_parting(recorded: &Ledger, repeated: &Ledger) -> Option<Parting> {
    if recorded.to() != repeated.to() {
        return None;
    }
    let other = |path: &String| repeated.ends().get(path).copied();
    let mut differing = recorded.ends().iter().filter(|(path, digest)| other(path).is_some_and(|other| other != **digest));
    let (path, digest) = differing.next()?;
    Some(Parting {
        step: recorded.to().saturating_sub(1),
        part: Part::Update,
        what: format!("value {path}"),
        recorded: format!("{digest:016x}"),
        repeated: other(path).map_or_else(String::new, |other| format!("{other:016x}")),
        others: differing.count(),
        exact: false,
    })
}

/// Compares logged rows, for runs that keep no ledger.
pub fn rows_parting(recorded: &[MetricsRow], repeated: &[MetricsRow]) -> Option<Parting> {
    let at = |step: u64| repeated.binary_search_by_key(&step, |row| row.step).ok().map(|index| &repeated[index]);
    let pairs = recorded.iter().filter_map(|row| Some((row, at(row.step)?)));
    pairs.into_iter().find_map(|(a, b)| row_parting(a, b))
}

fn row_parting(a: &MetricsRow, b: &MetricsRow) -> Option<Parting> {
    let schedule = |row: &MetricsRow| {
        let weights = row.weights.iter().map(|(loss, weight)| (format!("weight {loss}"), *weight));
        [("rate".to_owned(), row.rate)].into_iter().chain(weights).collect::<Vec<_>>()
    };
    let terms = |row: &MetricsRow| row.terms.iter().map(|(loss, term)| (format!("term {loss}"), *term)).collect();
    let norm = |row: &MetricsRow| vec![("gradient_norm".to_owned(), row.gradient_norm)];
    let parts: [(Part, Vec<_>, Vec<_>); 3] =
        [(Part::Schedule, schedule(a), schedule(b)), (Part::Term, terms(a), terms(b)), (Part::Gradient, norm(a), norm(b))];
    parts.into_iter().find_map(|(part, a_values, b_values)| {
        let mut differing = a_values.iter().filter_map(|(name, value)| {
            let other = b_values.iter().find(|(known, _)| known == name).map(|(_, other)| *other);
            let equal = other.is_some_and(|other| other.to_bits() == value.to_bits());
            (!equal).then(|| (name.clone(), *value, other))
        });
        let (what, recorded, other) = differing.next()?;
        Some(Parting {
            step: a.step,
            part,
            what,
            recorded: format!("{recorded:e}"),
            repeated: other.map_or_else(|| "nothing".into(), |other| format!("{other:e}")),
            others: differing.count(),
            exact: false,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Entry;
    use crate::task::loss::Loss;

    fn ledger(from: u64, to: u64, change: impl Fn(&mut Entry)) -> Ledger {
        let mut ledger = Ledger::new(from, 0, &["a".into(), "b".into()]);
        for step in from..to {
            let mut entry = Entry {
                step,
                batch: 1,
                rate: 0.1,
                weights: [(Loss::CrossEntropy, 1.0)].into(),
                terms: [(Loss::CrossEntropy, 2.0)].into(),
                gradients: vec![1, 2],
                gradient_norm: 1.0,
                values: vec![3, 4],
            };
            change(&mut entry);
            ledger.push(&entry);
        }
        ledger
    }

    #[test]
    fn the_first_step_and_the_first_cause_are_named() {
        let sound = ledger(0, 9, |_| ());
        assert_eq!(parting(&sound, &ledger(3, 9, |_| ())), None);
        let found = |change: fn(&mut Entry)| {
            let parting = parting(
                &sound,
                &ledger(0, 9, |entry| {
                    if entry.step >= 5 {
                        change(entry);
                    }
                }),
            )
            .unwrap();
            (parting.step, parting.part, parting.what, parting.others)
        };
        let all = |entry: &mut Entry| {
            entry.gradients = vec![7, 8];
            entry.values = vec![9, 9];
        };
        assert_eq!(found(|entry| entry.values[1] ^= 1), (5, Part::Update, "value b".into(), 0));
        assert_eq!(found(all), (5, Part::Gradient, "gradient a".into(), 1));
        assert_eq!(found(|entry| entry.rate = 0.2), (5, Part::Schedule, "rate".into(), 0));
        assert_eq!(found(|entry| entry.batch = 0), (5, Part::Batch, "batch".into(), 0));
        assert_eq!(found(|entry| entry.gradient_norm = 1.5), (5, Part::Gradient, "gradient_norm".into(), 0));
        // What follows from an earlier part is not named.
        assert_eq!(found(|entry| (entry.batch, entry.values[0]) = (0, 0)), (5, Part::Batch, "batch".into(), 0));
    }
}
