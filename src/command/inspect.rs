//! `runner inspect FILE.mgf`: what a file of spectra holds and which can be used.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::context::grouped;
use super::{Fault, print, print_json};
use crate::report::Table;
use crate::task::inspect::{Inspection, inspect};
use crate::task::mgf::Reader;
use crate::task::preprocess::Preprocessing;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An annotated MGF file
    file: PathBuf,
    /// Fewest peaks of a usable spectrum
    #[arg(long, value_name = "N", default_value_t = Preprocessing::default().fewest_peaks)]
    fewest_peaks: u32,
    /// The figures as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(_: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let shown = args.file.display();
    let wrong = |error: &dyn std::fmt::Display| Fault::World(format!("`{shown}`: {error}"));
    let metadata = std::fs::metadata(&args.file).map_err(|error| wrong(&error))?;
    if !metadata.is_file() {
        return Err(Fault::Arguments(format!("`{shown}` is not a regular file")));
    }
    let file = File::open(&args.file).map_err(|error| wrong(&error))?;
    let preprocessing = Preprocessing { fewest_peaks: args.fewest_peaks, ..Preprocessing::default() };
    preprocessing.check().map_err(Fault::Arguments)?;
    let inspection =
        inspect(Reader::new(BufReader::with_capacity(1 << 16, file)), &preprocessing).map_err(|error| wrong(&error))?;
    match args.json {
        true => print_json(&inspection),
        false => print(&render(&inspection)),
    }
}

fn render(inspection: &Inspection) -> String {
    let mut out = format!(
        "{} spectra, {} labelled, {} usable\n{} bare peptides, {} with their modifications\n",
        grouped(inspection.spectra),
        grouped(inspection.labelled),
        grouped(inspection.usable),
        grouped(inspection.bare_peptides),
        grouped(inspection.modified_peptides),
    );
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    out += &format!(
        "b and y ions explain {} of the intensity within 0.2 Da, {} within 0.02 Da (usable spectra, after preprocessing)\n",
        percent(inspection.explained),
        percent(inspection.explained_finely)
    );
    if inspection.unusable.total() > 0 {
        let mut table = Table::new(["not usable because", "spectra", "first at line"]);
        for (reason, counted) in &inspection.unusable.reasons {
            table.row([reason.to_string(), grouped(counted.spectra), grouped(counted.first_line as u64)]);
        }
        out += &format!("\n{table}");
    }
    out += &histogram("charge", &inspection.charges);
    out += &histogram("residues", &inspection.lengths);
    out += &histogram("modification", &inspection.modifications);
    out
}

fn histogram<K: std::fmt::Display>(what: &str, counts: &BTreeMap<K, u64>) -> String {
    let mut table = Table::new([what, "spectra"]);
    counts.iter().for_each(|(key, count)| table.row([key.to_string(), grouped(*count)]));
    if table.is_empty() { String::new() } else { format!("\n{table}") }
}
