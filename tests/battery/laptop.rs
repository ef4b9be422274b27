//! The shipped laptop experiment, finished, is reproduced: identical; and with one unit in the last place planted at one step
//! in one tensor: differs, there. The short form does so with a micro world.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use runner::command::reproduce::reproduce_with;
use runner::execute::Silent;
use runner::record::Part;
use runner::report::Verdict;
use runner::store::RealDisk;
use runner::train::{Burn, Choice, Planted};

use crate::form::{Form, Row, Skip};
use crate::world::World;

/// Where the mistake is planted in the long form, and in the short one.
const LONG: (u64, u64) = (2, 1_234);
const SHORT: (u64, u64) = (2, 23);
const TENSOR: &str = "decoder.0.self_attention.query.weight";

pub fn run(form: &Form) -> Result<Row, Skip> {
    let world = World::new();
    let experiment = form.pick("leaves", "precursor_timing");
    if form.long {
        copy_project(world.path());
    }
    let burn = || Burn::open(Choice::Cpu).expect("the CPU is there");
    let outcome = world.run_with(experiment, &burn(), Arc::new(RealDisk), 2, &|| false);
    assert!(outcome.is_ok_and(|outcome| outcome.failures.is_empty()), "the experiment is trained");
    let reproduce = |burn: &Burn| reproduce_with(world.path(), Path::new(experiment), None, burn, &Silent);
    let (seed, step) = form.pick(SHORT, LONG);
    Ok(form.trials("reproduce", 2, 1, |trial| {
        if trial == 0 {
            let answer = reproduce(&burn())?;
            return if answer.verdict == Verdict::Identical { Ok(()) } else { Err(answer.to_string()) };
        }
        let planted = Planted::Value { seed, step, tensor: TENSOR.into() };
        let answer = reproduce(&burn().with(vec![planted]))?;
        println!("{answer}");
        let what = format!("value {TENSOR}");
        let found = answer.first.as_ref().is_some_and(|(_, parting)| {
            (parting.step, parting.part, &parting.what, parting.others) == (step, Part::Update, &what, 0)
        });
        if found && answer.verdict == Verdict::Differs { Ok(()) } else { Err(answer.to_string()) }
    }))
}

fn copy_project(to: &Path) {
    for folder in ["experiments", "curricula"] {
        fs::create_dir_all(to.join(folder)).expect("a folder");
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).expect("the shipped files") {
            let entry = entry.expect("a shipped file");
            fs::copy(entry.path(), to.join(folder).join(entry.file_name())).expect("a copy");
        }
    }
}
