//! Real training reproduced: equal bits are said to be equal, and one unit in the last place is found where it was planted.

use std::path::Path;

use runner::command::reproduce::reproduce_with;
use runner::command::verify::verify_with;
use runner::history::History;
use runner::record::{Column, Ledger, Part, Promise};
use runner::report::{Reproduction, Verdict};
use runner::task::loss::Loss;
use runner::train::Planted;

use crate::cuts::{burn, run};
use crate::world::World;

fn reproduce(world: &World, planted: Vec<Planted>) -> Reproduction {
    let _ = std::fs::remove_dir_all(world.path().join("runs/.reproduced"));
    reproduce_with(world.path(), Path::new("leaves"), None, &burn().with(planted), world).unwrap()
}

#[test]
fn one_unit_in_the_last_place_is_found_at_its_step_and_tensor() {
    let world = World::new();
    run(&world, "leaves", 2);
    let answer = reproduce(&world, vec![]);
    assert_eq!(answer.verdict, Verdict::Identical, "{answer}");
    let (seed, step) = (1, 17);
    let tensor = || "core.out.weight".to_owned();
    let cases = [
        (Planted::Value { seed, step, tensor: tensor() }, Part::Update, "value core.out.weight", step),
        (Planted::Gradient { seed, step, tensor: tensor() }, Part::Gradient, "gradient core.out.weight", step),
        (Planted::Term { seed, from: 16, loss: Loss::Spectrum, factor: 1.000_001 }, Part::Term, "term Spectrum", 16),
        // The loss begins at step 12 of `moved`, and at 15 of `late`.
        (Planted::Term { seed, from: 0, loss: Loss::Precursor, factor: 1.000_001 }, Part::Term, "term Precursor", 12),
    ];
    for (planted, part, what, step) in cases {
        let answer = reproduce(&world, vec![planted.clone()]);
        let (_, parting) = answer.first.clone().unwrap_or_else(|| panic!("{planted:?} was not found:\n{answer}"));
        assert_eq!(answer.verdict, Verdict::Differs, "{planted:?}");
        assert_eq!((parting.step, parting.part, parting.what.as_str()), (step, part, what), "{planted:?}:\n{answer}");
        assert_eq!(parting.others, 0, "{planted:?}: only the planted tensor differs:\n{answer}");
    }
}

#[test]
fn segments_are_trained_again_and_found_equal_or_not() {
    let world = World::new();
    run(&world, "leaves", 2);
    let answer = verify_with(world.path(), Path::new("leaves"), &burn(), 4).unwrap();
    assert!(answer.is_sound() && answer.spots.len() == 4 && answer.spots.iter().all(|spot| spot.equal), "{answer}");
    assert!(answer.spots.iter().all(|spot| spot.promise == Promise::Bits));
    let faulty = burn().with((0..30).map(|step| Planted::Value { seed: 2, step, tensor: "core.answer".into() }).collect());
    let answer = verify_with(world.path(), Path::new("leaves"), &faulty, 100).unwrap();
    let found = answer.spots.iter().filter(|spot| !spot.equal);
    assert!(
        found.clone().count() > 0 && found.clone().all(|spot| spot.parting.as_ref().unwrap().what == "value core.answer"),
        "{answer}"
    );
}

#[test]
fn a_changed_data_file_is_found_with_the_first_batch_it_changes() {
    let (world, other) = (World::new(), World::new());
    for world in [&world, &other] {
        world.write("experiments/real.ron", crate::learning::REAL);
    }
    let text = crate::learning::own_file();
    let at = text.rfind("END IONS").unwrap();
    // One more peak in the last spectrum.
    let changed = format!("{}\n500.123 1.0\n{}", text[..at].trim_end(), &text[at..]);
    world.write("data/spectra.mgf", &text);
    other.write("data/spectra.mgf", &changed);
    run(&world, "real", 1);
    run(&other, "real", 1);
    // What the answer must be, found by training on the changed file.
    let expected = first_other_batch(&world, &other);
    world.write("data/spectra.mgf", &changed);
    let answer = reproduce_with(world.path(), Path::new("real"), None, &burn(), &world).unwrap();
    assert_eq!(answer.verdict, Verdict::Differs);
    let cause = answer.cause.unwrap();
    assert!(cause.contains("`data/spectra.mgf` is not the recorded file"), "{cause}");
    let text = expected.map_or("no batch".to_owned(), |step| format!("that of step {step} of `main`"));
    assert!(cause.contains(&text), "{text}: {cause}");
    // Under another name in `data/` the recorded file is found by its content.
    world.write("data/old.mgf", &crate::learning::own_file());
    let answer = reproduce_with(world.path(), Path::new("real"), None, &burn(), &world).unwrap();
    assert_eq!(answer.verdict, Verdict::Identical, "{answer}");
}

fn first_other_batch(a: &World, b: &World) -> Option<u64> {
    let ledger = |world: &World| -> (History, Ledger) {
        let inventory = world.store().inventory();
        let found = inventory.checkpoints.values().max_by_key(|found| found.manifest.step).unwrap();
        (world.store().history(found).unwrap(), world.store().ledger(found).unwrap().unwrap())
    };
    let ((one, a), (other, b)) = (ledger(a), ledger(b));
    assert_ne!(one.id(), other.id());
    let column = a.columns().iter().position(|column| *column == Column::Batch).unwrap();
    (a.from()..a.to()).find(|&step| a.row(step).unwrap()[column] != b.row(step).unwrap()[column])
}
