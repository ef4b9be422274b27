//! `kill -9` of the real program at random times, over and over, on a lineage of three levels: what is there afterwards is
//! sound, and once it is left alone the result is the same bytes.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rand::RngExt;

use crate::form::{Form, Row, Skip};
use crate::machine::{self, PATIENCE};
use crate::state;
use crate::world::{LEAVES, World};

const MIDDLE: &str = r#"(parent: Checkpoint("trunk@10"), curriculum: Inherit, max_step: 20)"#;

/// What the program is asked to do.
const RUN: [&str; 4] = ["run", "leaves", "--device", "cpu"];

/// Trunk, middle, leaves.
fn lineage() -> World {
    let world = World::new();
    world.write("experiments/middle.ron", MIDDLE);
    world.write("experiments/leaves.ron", &LEAVES.replace("trunk@10", "middle@15").replace("to: 12", "to: 18"));
    world
}

pub fn run(form: &Form) -> Result<Row, Skip> {
    let wanted = form.pick(30, 1_000);
    let undisturbed = lineage();
    let began = Instant::now();
    machine::finish(&mut machine::runner(undisturbed.path(), &RUN), PATIENCE).unwrap().success().unwrap();
    let whole = began.elapsed().as_millis() as u64;
    let expected = state::result(&undisturbed).unwrap();
    let mut random = form.random(0, 0);
    let (mut row, mut world, mut finished, mut in_a_row) = (Row::default(), lineage(), 0, 0);
    while row.tried < wanted {
        let mut command = machine::runner(world.path(), &RUN);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Short enough that few runs end by themselves, long enough that every run gets on.
        std::thread::sleep(Duration::from_millis(random.random_range(2..(whole / 2).max(60))));
        let outcome = match child.try_wait().unwrap() {
            None => {
                child.kill().unwrap();
                child.wait().unwrap();
                row.tried += 1;
                in_a_row += 1;
                state::sound(&world.store())
            }
            Some(status) if status.success() => {
                let same = state::same(&expected, &world);
                (world, finished, in_a_row) = (lineage(), finished + 1, 0);
                same
            }
            Some(status) => Err(format!("after {in_a_row} kills it ended with {status}")),
        };
        if let Err(what) = outcome {
            row.bad += 1;
            form.say_bad("kill", row.tried, &what);
            (world, in_a_row) = (lineage(), 0);
        }
    }
    let last = machine::finish(&mut machine::runner(world.path(), &RUN), PATIENCE);
    let last = last.and_then(|ended| ended.success()).and_then(|()| state::same(&expected, &world));
    if let Err(what) = last {
        row.bad += 1;
        form.say_bad("kill", row.tried, &format!("the last run, after {in_a_row} kills: {what}"));
    }
    row.note(format!("{} runs brought to their end, each compared", finished + 1));
    Ok(row)
}
