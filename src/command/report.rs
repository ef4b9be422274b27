//! `runner report`: the page of a run with everything that is known of it, the comparison as JSON and CSV, and figures for
//! papers. `run` writes the page anew while it trains.

use std::path::{Path, PathBuf};

use chrono::Utc;

use super::compare::gather;
use super::context::{Context, Ready};
use super::page_lineage::lineage;
use super::{Fault, note, print};
use crate::report::page::{self, Page, Told};
use crate::spec::InRun;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The experiment's file, or its name
    experiment: PathBuf,
    /// Also write the figures as SVG files into this folder
    #[arg(long, value_name = "DIR")]
    figures: Option<PathBuf>,
}

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context::open(directory)?;
    let ready = context.ready(&args.experiment)?;
    if context.store.run_record(&ready.name)?.is_none() {
        return Err(Fault::Arguments(format!("`{}` has not been run: there is nothing to report", ready.name)));
    }
    let page = write(&context, &ready)?;
    if let Some(folder) = &args.figures {
        let failed = |error: std::io::Error| Fault::World(format!("`{}`: {error}", folder.display()));
        std::fs::create_dir_all(folder).map_err(failed)?;
        let figures = page::figures(&page);
        figures.iter().try_for_each(|(name, svg)| std::fs::write(folder.join(format!("{name}.svg")), svg)).map_err(failed)?;
        note(&format!("{} figures in `{}`", figures.len(), folder.display()));
    }
    let shown = context.store.shown(&context.store.in_run(&ready.name, InRun::Page));
    print(&format!("{shown}\n"))
}

/// Writes the page, and the comparison as JSON and CSV, into the run's folder.
pub(crate) fn write(context: &Context, ready: &Ready) -> Result<Page, Fault> {
    let inventory = context.store.inventory();
    let gathered = gather(context, ready, &inventory)?;
    let record = context.store.run_record(&ready.name)?;
    let lineage = lineage(context, ready, &inventory);
    let updated = Utc::now().format("%Y-%m-%d %H:%M UTC").to_string();
    let told = Told {
        question: ready.resolved().question.as_deref(),
        comparison: &gathered.comparison,
        leaves: &gathered.leaves,
        sets: &gathered.sets,
        record: record.as_ref(),
        updated,
    };
    let page = page::page(&told, lineage);
    let comparison = &gathered.comparison;
    let json = serde_json::to_vec_pretty(comparison).map_err(|error| Fault::World(error.to_string()))?;
    let store = &context.store;
    store.save_in_run(&ready.name, InRun::Page, page::render(&page).as_bytes())?;
    store.save_in_run(&ready.name, InRun::ComparisonJson, &json)?;
    store.save_in_run(&ready.name, InRun::ComparisonCsv, crate::report::csv(comparison).as_bytes())?;
    Ok(page)
}
