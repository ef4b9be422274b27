//! `runner check`: the problems of all files at once.

use std::path::{Path, PathBuf};

use super::context::Context;
use super::diagnostics::{Diagnostics, counted};
use super::{Fault, print, print_json};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this experiment, its curricula and its ancestors
    experiment: Option<PathBuf>,
    /// Problems as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context { believes: true, ..Context::open(directory)? };
    let (diagnostics, checked) = match &args.experiment {
        Some(target) => match context.ready(target) {
            Ok(ready) => {
                let files = ready.loaded.texts.len();
                (Diagnostics::new(ready.loaded), files)
            }
            Err(Fault::Files(diagnostics)) => (*diagnostics, 0),
            Err(other) => return Err(other),
        },
        None => {
            let mut digests = context.digests();
            let (mut loaded, targets) = context.project.load_all_with(&mut digests);
            context.remember(&digests);
            loaded.resolve(&targets);
            let files = loaded.texts.len();
            (Diagnostics::new(loaded), files)
        }
    };
    if args.json {
        print_json(&diagnostics.shown())?;
    }
    match diagnostics.is_empty() {
        true if args.json => Ok(()),
        true => print(&format!("{} without problems\n", counted(checked, "file"))),
        false => Err(Fault::Files(Box::new(diagnostics))),
    }
}
