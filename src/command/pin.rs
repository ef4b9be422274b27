//! `runner pin`: checkpoints whose tensors are never taken.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::context::Context;
use super::refer::checkpoint;
use super::{Fault, note, print, print_json};
use crate::history::Id;
use crate::record::{FORMAT, Pin};
use crate::report::Table;
use crate::store::Inventory;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The checkpoint: `experiment/branch#seed@step`, `@latest` or `@best`. Left out: all pins are listed
    checkpoint: Option<String>,
    /// Why it is pinned
    #[arg(long, value_name = "TEXT", requires = "checkpoint")]
    note: Option<String>,
    /// Take the pin away
    #[arg(long, requires = "checkpoint", conflicts_with = "note")]
    remove: bool,
    /// The list as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context::open(directory)?;
    match &args.checkpoint {
        Some(text) if args.remove => remove(&context, text)?,
        Some(text) => add(&context, text, args.note.clone())?,
        None => return list(&context, args.json),
    }
    if args.json { list(&context, true) } else { Ok(()) }
}

fn add(context: &Context, text: &str, why: Option<String>) -> Result<(), Fault> {
    let inventory = context.inventory();
    let referred = checkpoint(context, &inventory, text)?;
    let pin = Pin { format: FORMAT, id: referred.found.manifest.id, reference: referred.reference(), note: why };
    context.store.pin(&pin)?;
    note(&format!("pinned `{}`, `{}`", pin.reference, context.store.shown(&referred.found.path)));
    if !referred.found.has_tensors {
        note("its tensors were thinned out before; the pin keeps them once its steps are trained again");
    }
    Ok(())
}

fn remove(context: &Context, text: &str) -> Result<(), Fault> {
    let pins = context.store.pins()?;
    let id = match by_name(&pins, text) {
        Some(id) => id,
        None => checkpoint(context, &context.inventory(), text)?.found.manifest.id,
    };
    if !context.store.unpin(id)? {
        return Err(Fault::Arguments(format!("`{text}` is not pinned; `runner pin` lists the pins")));
    }
    note(&format!("`{text}` is not pinned any more"));
    Ok(())
}

/// The pin whose reference or id was written, also where its checkpoint does not exist any more.
fn by_name(pins: &BTreeMap<Id, Pin>, text: &str) -> Option<Id> {
    let is_id = |id: &Id| text.len() >= 8 && id.hex().starts_with(text);
    pins.values().find(|pin| pin.reference == text || is_id(&pin.id)).map(|pin| pin.id)
}

#[derive(Debug, Serialize)]
struct Row {
    checkpoint: String,
    id: String,
    tensors: &'static str,
    note: Option<String>,
}

fn list(context: &Context, json: bool) -> Result<(), Fault> {
    let inventory = context.inventory();
    let pins = context.store.pins()?.into_values();
    let rows: Vec<Row> = pins
        .map(|pin| Row { tensors: state(&inventory, pin.id), checkpoint: pin.reference, id: pin.id.hex(), note: pin.note })
        .collect();
    if json {
        return print_json(&rows);
    }
    if rows.is_empty() {
        return print("no pins; `runner pin experiment/branch#seed@step` makes one\n");
    }
    let mut table = Table::new(["checkpoint", "id", "tensors", "note"]);
    for row in rows {
        table.row([row.checkpoint, row.id[..8].to_owned(), row.tensors.to_owned(), row.note.unwrap_or_default()]);
    }
    print(&table.to_string())
}

/// Whether a pin holds anything.
fn state(inventory: &Inventory, id: Id) -> &'static str {
    match inventory.checkpoints.get(&id) {
        Some(found) if found.has_tensors => "kept",
        Some(_) => "thinned out before",
        None => "not there any more",
    }
}
