//! The list of runs says what is there, whatever is remembered of it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use runner::store::{Listing, Store};

mod folders;

use folders::{QuickDisk, TRUNK, project, save_run, trunk};

const RUNS: usize = 80;

/// A folder with many runs that have not changed for a while.
fn with_runs() -> (tempfile::TempDir, Store) {
    let folder = project([("trunk".to_owned(), TRUNK.to_owned())]);
    let store = Store::new(folder.path().join("runs"), Arc::new(QuickDisk));
    let history = trunk(folder.path());
    (0..RUNS).for_each(|index| save_run(&store, &history, index));
    std::thread::sleep(Duration::from_millis(2_100));
    (folder, store)
}

/// What a list says, without how it was made.
fn said(listing: &Listing) -> String {
    format!("{:#?}{:#?}", listing.runs, listing.damaged)
}

fn only(folder: &Path, begins: impl Fn(&str) -> bool) -> std::path::PathBuf {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let found: Vec<_> = entries.filter(|entry| begins(entry.file_name().to_str().unwrap())).collect();
    assert_eq!(found.len(), 1, "{}", folder.display());
    found[0].path()
}

/// Changes something in a run's folder, whose only checkpoint is the second path.
type Change = fn(run: &Path, checkpoint: &Path);

const CHANGES: [Change; 12] = [
    |_, checkpoint| {
        // One bit, and the file's own time as it was.
        let manifest = checkpoint.join("MANIFEST.json");
        let modified = fs::metadata(&manifest).unwrap().modified().unwrap();
        let mut bytes = fs::read(&manifest).unwrap();
        bytes[100] ^= 1;
        fs::write(&manifest, bytes).unwrap();
        fs::File::options().write(true).open(&manifest).unwrap().set_modified(modified).unwrap();
    },
    |_, checkpoint| fs::remove_file(checkpoint.join("MANIFEST.json")).unwrap(),
    |_, checkpoint| fs::rename(checkpoint.join("tensors"), checkpoint.join("gone")).unwrap(),
    |_, checkpoint| {
        let file = fs::File::options().write(true).open(checkpoint.join("tensors/model.safetensors")).unwrap();
        file.set_len(3).unwrap();
    },
    |_, checkpoint| fs::remove_file(checkpoint.join("tensors/MANIFEST.json")).unwrap(),
    |_, checkpoint| fs::remove_dir_all(checkpoint).unwrap(),
    |run, _| fs::write(run.join("record.json"), "{").unwrap(),
    |run, _| fs::remove_file(run.join("record.json")).unwrap(),
    |run, _| {
        let record = fs::read_to_string(run.join("record.json")).unwrap();
        fs::write(run.join("record.json"), record.replace("complete", "failed")).unwrap();
    },
    |run, _| fs::write(run.join("evaluations/more.json"), "{}").unwrap(),
    |run, _| fs::write(run.join("report.html"), "a view").unwrap(),
    |run, _| fs::remove_dir_all(run).unwrap(),
];

#[test]
fn what_has_not_changed_is_not_gone_through_and_what_has_is() {
    let (_folder, store) = with_runs();
    let first = store.listing("program");
    assert_eq!((first.read, first.runs.len(), first.damaged.len()), (RUNS, RUNS, 0));
    let second = store.listing("program");
    assert_eq!((second.read, said(&second)), (0, said(&first)));
    assert_eq!(store.listing("another program").read, RUNS, "which may see other things in the same files");
    let again = store.listing("program");
    assert_eq!(again.read, RUNS, "there is one list");

    // Each change is of another run, and is seen beside all that are remembered.
    store.listing("program");
    let run = |index: usize| store.root().join(format!("run{index:05}"));
    let checkpoint = |index: usize| only(&run(index).join("main"), |name| name.starts_with("1000-"));
    for (index, change) in CHANGES.iter().enumerate() {
        let before = said(&store.listing("program"));
        change(&run(index), &checkpoint(index));
        let remembered = store.listing("program");
        assert!(remembered.read <= index + 1, "change {index}: {} were gone through", remembered.read);
        assert_ne!(said(&remembered), before, "change {index}");
        let cache = store.root().join(".cache");
        let aside = store.root().join(".aside");
        fs::rename(&cache, &aside).unwrap();
        assert_eq!(said(&store.listing("program")), said(&remembered), "change {index}");
        let _ = fs::remove_dir_all(&cache);
        fs::rename(&aside, &cache).unwrap();
    }
}

#[test]
fn what_is_remembered_may_be_damaged_or_lost() {
    let (_folder, store) = with_runs();
    let first = said(&store.listing("program"));
    let path = store.root().join(".cache/runs.jsonl");
    let sound = fs::read(&path).unwrap();
    let mut flipped = sound.clone();
    flipped[sound.len() / 2] ^= 1;
    for damaged in [&sound[..sound.len() / 2], b"", b"\n", &flipped] {
        fs::write(&path, damaged).unwrap();
        let listing = store.listing("program");
        assert_eq!((listing.read, said(&listing)), (RUNS, first.clone()));
        assert_eq!(fs::read(&path).unwrap(), sound, "it is made anew");
    }
    fs::remove_dir_all(store.root().join(".cache")).unwrap();
    fs::write(store.root().join(".cache"), "where nothing can be written").unwrap();
    assert_eq!(said(&store.listing("program")), first);
}

#[test]
fn a_run_whose_record_is_damaged_is_shown_as_that_beside_the_others() {
    let (folder, store) = with_runs();
    fs::write(store.root().join("run00003/record.json"), "{").unwrap();
    fs::remove_file(store.root().join("run00004/record.json")).unwrap();
    let mut ls = Command::new(env!("CARGO_BIN_EXE_runner"));
    let output = ls.arg("-C").arg(folder.path()).arg("ls").output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{stderr}");
    let line = |run: &str| stdout.lines().find(|line| line.starts_with(run)).unwrap_or_default().to_owned();
    assert!(line("run00002").contains("complete"), "{stdout}");
    assert!(line("run00003").contains("unreadable"), "{stdout}");
    assert!(line("run00004").contains("no record"), "{stdout}");
    assert!(stderr.contains("warning: `runs/run00003/record.json` is not used"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}
