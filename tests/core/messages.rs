//! What people read when a file is wrong. A case is a folder: its files, and `expected.txt` with what `runner check` says.
//! After a deliberate change, `UPDATE_EXPECTED=1 cargo test` writes the files anew.

use std::fs;
use std::path::Path;
use std::process::Command;

fn check(folder: &Path) -> (String, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_runner")).arg("-C").arg(folder).arg("check").output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{output:?}");
    (String::from_utf8(output.stderr).unwrap(), output.status.code().unwrap())
}

#[test]
fn broken_files_say_what_where_and_what_instead() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut folders: Vec<_> = fs::read_dir(&cases).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= 12, "only {} cases", folders.len());
    for folder in folders {
        let (message, code) = check(&folder);
        let expected = folder.join("expected.txt");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, &message).unwrap();
        }
        assert_eq!(code, 2, "{}:\n{message}", folder.display());
        assert_eq!(message, fs::read_to_string(&expected).unwrap_or_default(), "{}", folder.display());
    }
}

#[test]
fn files_that_are_too_large_too_deep_or_too_many_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        fs::create_dir_all(folder.path().join("curricula")).unwrap();
        fs::write(folder.path().join("curricula").join(name), text).unwrap();
    };
    write("large.ron", &format!("(stages: [{}])", " ".repeat(1 << 20)));
    let levels = "Mixture([(share: 1, data: ".repeat(10_000);
    fs::create_dir_all(folder.path().join("experiments")).unwrap();
    fs::write(folder.path().join("experiments/deep.ron"), format!("(parent: Scratch(seed: 1, data: {levels}")).unwrap();
    write("latin1.ron", "");
    fs::write(folder.path().join("curricula/latin1.ron"), b"(stages: [\xe9])").unwrap();
    let (message, code) = check(folder.path());
    assert_eq!(code, 2);
    for part in ["more than the 1048576", "nested too deeply", "is not UTF-8 text from byte 10 on", "3 problems in 3 files"] {
        assert!(message.contains(part), "{part}:\n{message}");
    }
}

#[test]
fn names_that_clash_or_escape_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let world = crate::world::TRUNK;
    fs::create_dir_all(folder.path().join("experiments")).unwrap();
    for name in ["Trunk", "trunk", "-dash", "a b"] {
        fs::write(folder.path().join("experiments").join(format!("{name}.ron")), world).unwrap();
    }
    let (message, code) = check(folder.path());
    assert_eq!(code, 2);
    for part in ["`trunk` and `Trunk` differ only in case", "starts with a dot or dash", "` ` is not a letter"] {
        assert!(message.contains(part), "{part}:\n{message}");
    }
}
