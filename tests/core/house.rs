//! The rules of the house, kept by reading it.

use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms a room may name. `train` alone may name burn.
const MAY_NAME: [(&str, &[&str]); 12] = [
    ("task", &[]),
    ("spec", &["task"]),
    ("history", &["spec", "task"]),
    ("record", &["history", "spec", "task"]),
    ("lineage", &["history", "spec", "task", "record"]),
    ("plan", &["lineage", "record", "history", "spec", "task"]),
    ("report", &["plan", "lineage", "record", "history", "spec", "task"]),
    ("load", &["plan", "lineage", "record", "history", "spec", "task"]),
    ("store", &["plan", "lineage", "record", "history", "spec", "task"]),
    ("execute", &["store", "plan", "lineage", "record", "history", "spec", "task"]),
    ("train", &["execute", "record", "history", "spec", "task"]),
    ("command", &["load", "store", "execute", "train", "report", "plan", "lineage", "record", "history", "spec", "task"]),
];
/// Rooms without disk, clock, terminal or device.
const PURE: [&str; 7] = ["task", "spec", "history", "record", "lineage", "plan", "report"];
const IMPURE: [&str; 9] =
    ["std::fs", "std::env", "std::time", "std::process", "std::net", "chrono::", "println!", "eprintln!", "Utc::now"];

/// Files that are compiled for tests alone.
fn is_test(path: &Path) -> bool {
    let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name == "tests" || name == "testing" || name.ends_with("_tests")
}

/// The shipped sources, without their tests.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = walkdir::WalkDir::new(&root).into_iter().map(|entry| entry.unwrap().into_path());
    let rust = files.filter(|path| path.extension().is_some_and(|ending| ending == "rs") && !is_test(path));
    rust.map(|path| (path.strip_prefix(&root).unwrap().to_path_buf(), without_tests(&fs::read_to_string(&path).unwrap())))
        .collect()
}

/// The code that is shipped: tests may open files.
fn without_tests(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn room(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn arrows_point_one_way() {
    for (path, text) in sources() {
        let room = room(&path);
        let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == room) else {
            assert!(
                ["lib", "main"].contains(&room.as_str()),
                "`{room}` is no room of the house: add it to this test and to ARCHITECTURE.md"
            );
            continue;
        };
        for (other, _) in MAY_NAME.iter().filter(|(other, _)| *other != room && !allowed.contains(other)) {
            assert!(
                !text.contains(&format!("crate::{other}::")),
                "`{}` names `{other}`, which `{room}` may not",
                path.display()
            );
        }
    }
}

#[test]
fn burn_is_named_in_train_alone() {
    for (path, text) in sources() {
        let names = text.contains("burn::") || text.contains("use burn");
        assert!(!names || room(&path) == "train", "`{}` names burn", path.display());
    }
}

#[test]
fn pure_rooms_touch_nothing() {
    for (path, text) in sources().into_iter().filter(|(path, _)| PURE.contains(&room(path).as_str())) {
        for word in IMPURE {
            assert!(!text.contains(word), "`{}` is in a pure room and uses `{word}`", path.display());
        }
    }
}

#[test]
fn only_commands_print() {
    for (path, text) in sources().into_iter().filter(|(path, _)| room(path) != "command") {
        assert!(!text.contains("println!") && !text.contains("eprintln!"), "`{}` prints", path.display());
    }
}
