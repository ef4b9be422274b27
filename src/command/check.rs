//! `runner check`: the problems of all files at once. Data files are not part of what people write: of a project that is
//! checked as a whole, those that are absent are warnings. What needs them cannot be run before they are there.

use std::path::{Path, PathBuf};

use super::context::Context;
use super::diagnostics::{Diagnostics, counted};
use super::{Fault, note, print, print_json};

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
            loaded.check(&targets);
            let files = loaded.texts.len();
            (Diagnostics::of_everything(loaded), files)
        }
    };
    if args.json {
        print_json(&diagnostics.shown())?;
    }
    if !diagnostics.is_empty() {
        return Err(Fault::Files(Box::new(diagnostics)));
    }
    let warnings = diagnostics.warnings();
    if warnings > 0 {
        note(&diagnostics.to_string());
    }
    let but = if warnings > 0 { format!(", {}", counted(warnings, "warning")) } else { String::new() };
    if args.json { Ok(()) } else { print(&format!("{} without problems{but}\n", counted(checked, "file"))) }
}
