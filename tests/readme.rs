//! The session in the README is what the program says. `UPDATE_EXPECTED=1 cargo test --test readme` writes it anew.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What a person would see: the command's output after its line.
fn play(command: &str, folder: &Path) -> String {
    let words = command.split_whitespace().skip(1);
    let output = Command::new(env!("CARGO_BIN_EXE_runner")).arg("-C").arg(folder).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[test]
fn the_session_is_what_the_program_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    for name in ["experiments", "curricula"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        for entry in fs::read_dir(root.join(name)).unwrap().map(Result::unwrap) {
            fs::copy(entry.path(), folder.path().join(name).join(entry.file_name())).unwrap();
        }
    }
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let (before, rest) = readme.split_once("```console\n").unwrap();
    let (session, after) = rest.split_once("```").unwrap();
    let commands: Vec<&str> = session.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    assert!(commands.len() >= 3);
    let played: String = commands.iter().map(|command| format!("$ {command}\n{}", play(command, folder.path()))).collect();
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(root.join("README.md"), format!("{before}```console\n{played}```{after}")).unwrap();
    }
    assert_eq!(session, played);
}
