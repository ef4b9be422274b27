//! Every change of the disk fails once, and all after it: it is noticed, what is there is sound, and the next run ends with
//! the same bytes.

use std::sync::Arc;

use runner::execute::Fake;
use runner::store::FailingDisk;

use crate::form::{CORES, Form, Row, Skip};
use crate::state;
use crate::world::{World, undisturbed};

/// Whether a run makes more changes than these.
fn fails_after(changes: i64) -> bool {
    let disk = Arc::new(FailingDisk::after(changes));
    let _ = World::new().run_on("leaves", &Fake::default(), disk.clone(), 1, &|| false);
    disk.has_failed()
}

/// How many changes a run makes.
fn changes() -> i64 {
    let (mut fails, mut passes) = (0, 1 << 14);
    assert!(!fails_after(passes), "a run makes more than {passes} changes");
    while passes - fails > 1 {
        let middle = i64::midpoint(fails, passes);
        if fails_after(middle) { fails = middle } else { passes = middle }
    }
    passes
}

pub fn run(form: &Form) -> Result<Row, Skip> {
    let expected = undisturbed();
    let all = changes();
    assert!(all > 300, "only {all} changes were made");
    let every = form.pick(7, 1);
    let first = (form.seed % every) as i64;
    let count = (all - first + every as i64 - 1) / every as i64;
    let mut row = form.trials("change", count as u64, CORES, |number| {
        let n = first + number as i64 * every as i64;
        let world = World::new();
        let disk = Arc::new(FailingDisk::after(n));
        let outcome = state::done(world.run_on("leaves", &Fake::default(), disk.clone(), 1, &|| false));
        if !disk.has_failed() {
            return Err(format!("change {n} was not made this time"));
        }
        let Err(message) = outcome else { return Err(format!("change {n} failed and nobody noticed")) };
        if !message.contains("runs") {
            return Err(format!("change {n} failed, and the message names no path: {message}"));
        }
        state::sound(&world.store()).map_err(|what| format!("change {n} failed: {what}"))?;
        state::done(world.run("leaves", &Fake::default())).map_err(|what| format!("run again after change {n}: {what}"))?;
        state::same(&expected, &world).map_err(|what| format!("run again after change {n}: {what}"))
    });
    row.note(format!("{all} changes in a run, every {every}. tried"));
    Ok(row)
}
