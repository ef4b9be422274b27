//! `runner diff A B`: where two leaves part and in what.

use std::path::Path;

use super::context::Context;
use super::refer::history;
use super::{Fault, print, print_json};
use crate::report::divergence;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A leaf, `experiment/branch#seed`, or a checkpoint, `experiment/branch#seed@step` or `@best`
    a: String,
    /// The other one
    b: String,
    /// The difference as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context::open(directory)?;
    let (a, b) = (history(&context, &args.a)?, history(&context, &args.b)?);
    let difference = divergence(&a, &b);
    match args.json {
        true => print_json(&difference),
        false => print(&format!("{difference}\n")),
    }
}
