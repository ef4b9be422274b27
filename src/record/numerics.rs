//! What equal bits depend on besides the history.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::task::footprint::Machine;

/// The machine and the build as far as they decide the bits of a result. Our own code is covered by the versions in the
/// history. [`Numerics::promise`] says what equal ones promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numerics {
    /// `flex` (the CPU), `cuda`, `wgpu`, or `fake` in tests.
    pub backend: String,
    /// By name: CPU or GPU model, driver, compiler, versions of the numeric crates, features.
    pub details: BTreeMap<String, String>,
}

/// What is promised of two trainings of one history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Promise {
    /// Equal numerics on a CPU: equal bits. Held by tests at every kind of cut.
    Bits,
    /// Equal numerics on a GPU: the same kernels on the same device, and no promise of bits.
    Kernels,
    /// Other numerics: what is measured comes close, and every difference is shown.
    Closeness,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Promise::Bits => "equal bits, as machine and build are the same",
            Promise::Kernels => "the same kernels, as GPU and build are the same, and not equal bits",
            Promise::Closeness => "nothing but closeness, as machine or build are others",
        })
    }
}

impl Numerics {
    /// Whether it trained on a device with a memory and a pace of its own.
    pub fn is_gpu(&self) -> bool {
        ["cuda", "wgpu"].contains(&self.backend.as_str())
    }

    /// What its memory is counted for.
    pub fn machine(&self) -> Machine {
        if self.is_gpu() { Machine::Gpu } else { Machine::Cpu }
    }

    /// What is promised where the same history was trained under these and under others.
    pub fn promise(&self, others: &Numerics) -> Promise {
        match self == others {
            true if self.is_gpu() => Promise::Kernels,
            true => Promise::Bits,
            false => Promise::Closeness,
        }
    }

    /// Everything by name, the backend as `backend`.
    pub fn named(&self) -> BTreeMap<String, String> {
        let backend = ("backend".to_owned(), self.backend.clone());
        self.details.clone().into_iter().chain([backend]).collect()
    }

    /// From what [`Numerics::named`] gave.
    pub fn of_names(mut named: BTreeMap<String, String>) -> Numerics {
        Numerics { backend: named.remove("backend").unwrap_or_default(), details: named }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_promised_on_equal_cpus_only() {
        let numerics = |backend: &str, name: &str| Numerics {
            backend: backend.into(),
            details: BTreeMap::from([("device".into(), name.into())]),
        };
        let of = |a: (&str, &str), b: (&str, &str)| numerics(a.0, a.1).promise(&numerics(b.0, b.1));
        assert_eq!(of(("flex", "one"), ("flex", "one")), Promise::Bits);
        assert_eq!(of(("cuda", "one"), ("cuda", "one")), Promise::Kernels);
        assert_eq!(of(("cuda", "one"), ("cuda", "two")), Promise::Closeness);
        assert_eq!(of(("flex", "one"), ("cuda", "one")), Promise::Closeness);
        let one = numerics("cuda", "one");
        assert_eq!(Numerics::of_names(one.named()), one);
    }
}
