//! What a project holds under `runs/`, and whether it is what it should be.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use runner::execute::Outcome;
use runner::store::Store;

use crate::form::attempt;
use crate::world::World;

/// What must be the same whatever happened: see [`World::result`].
pub type Bytes = BTreeMap<String, Vec<u8>>;

/// The result, or why there is none.
pub fn result(world: &World) -> Result<Bytes, String> {
    attempt(|| Ok(world.result()))
}

/// An error where the result is another one.
pub fn same(expected: &Bytes, world: &World) -> Result<(), String> {
    let found = result(world)?;
    let mut keys = expected.keys().chain(found.keys());
    match keys.find(|key| expected.get(*key) != found.get(*key)) {
        None => Ok(()),
        Some(key) => {
            let how = match (expected.contains_key(key), found.contains_key(key)) {
                (true, false) => "is missing",
                (false, _) => "should not be there",
                _ => "has other bytes",
            };
            Err(format!("`{key}` {how} ({} of {} entries found)", found.len(), expected.len()))
        }
    }
}

/// An error where anything is damaged, or any checkpoint does not verify.
pub fn sound(store: &Store) -> Result<(), String> {
    let inventory = store.inventory();
    if let Some((path, why)) = inventory.damaged.first() {
        return Err(format!("damaged: `{}`: {why}", store.shown(path)));
    }
    inventory.checkpoints.values().try_for_each(|found| store.verify(found).map_err(|error| error.to_string()))
}

/// An error where a checkpoint that the victim called saved is not there or does not verify.
pub fn acknowledged(store: &Store, said: &str) -> Result<(), String> {
    let inventory = store.inventory();
    for path in said.lines().filter_map(|line| line.strip_prefix("saved ")) {
        let found = inventory.checkpoints.values().find(|found| found.path.ends_with(path));
        let found = found.ok_or_else(|| format!("`{path}` was called saved and is not there"))?;
        store.verify(found).map_err(|error| format!("`{path}` was called saved: {error}"))?;
    }
    Ok(())
}

/// An error where a run did not reach its end.
pub fn done(outcome: Result<Outcome, String>) -> Result<(), String> {
    let outcome = outcome?;
    match outcome.failures.is_empty() && !outcome.interrupted {
        true => Ok(()),
        false => Err(format!("{}{}", outcome.failures.join("; "), if outcome.interrupted { "interrupted" } else { "" })),
    }
}

/// Everything in a folder but what lies under `but`, with digests: to see that nothing changed.
pub fn listing(folder: &Path, but: &Path) -> BTreeMap<String, String> {
    let walk = walkdir::WalkDir::new(folder).min_depth(1).into_iter().filter_entry(|entry| entry.path() != but);
    let mut listing = BTreeMap::new();
    for entry in walk.map(Result::unwrap) {
        let what = match entry.file_type() {
            kind if kind.is_dir() => "folder".to_owned(),
            kind if kind.is_symlink() => format!("link to {}", fs::read_link(entry.path()).unwrap().display()),
            kind if kind.is_file() => blake3::hash(&fs::read(entry.path()).unwrap()).to_hex().to_string(),
            _ => "special".to_owned(),
        };
        listing.insert(entry.path().strip_prefix(folder).unwrap().display().to_string(), what);
    }
    listing
}
