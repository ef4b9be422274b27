//! Notes what the bits of a result depend on: compiler, flags, and the locked versions of the numeric crates.

use std::env;
use std::fs;
use std::process::Command;

/// Crates whose code computes numbers, by the beginning of their names.
const NUMERIC: [&str; 8] = ["burn", "cubecl", "cubek", "gemm", "pulp", "macerator", "libm", "rand"];

fn main() {
    println!("cargo:rerun-if-changed=Cargo.lock");
    println!("cargo:rerun-if-changed=build.rs");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let rustc = Command::new(env::var("RUSTC").unwrap_or("rustc".into())).arg("--version").output();
    let rustc = rustc.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    note("RUSTC", rustc.trim());
    // Cargo separates the flags by the character 0x1f.
    let flags = variable("CARGO_ENCODED_RUSTFLAGS").replace('\u{1f}', " ");
    note("RUSTFLAGS", if flags.is_empty() { "none" } else { &flags });
    note("TARGET", &variable("TARGET"));
    note("PROFILE", &format!("{}, opt-level {}", variable("PROFILE"), variable("OPT_LEVEL")));
    let lock = fs::read_to_string("Cargo.lock").unwrap_or_default();
    note("NUMERIC_CRATES", &numeric_crates(&lock));
    note("LOCK_FILE", &format!("{:016x}", digest(START, lock.bytes())));
}

fn note(name: &str, value: &str) {
    let value = if value.is_empty() { "unknown" } else { value };
    println!("cargo:rustc-env=RUNNER_{name}={value}");
}

/// FNV-1a, 64 bits.
const START: u64 = 0xcbf2_9ce4_8422_2325;

fn digest(before: u64, bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(before, |digest, byte| (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A digest of names, versions and checksums of the numeric crates in a lock file.
fn numeric_crates(lock: &str) -> String {
    let numeric = |package: &&str| {
        let name = package.lines().find_map(|line| line.strip_prefix("name = \""));
        name.is_some_and(|name| NUMERIC.iter().any(|prefix| name.starts_with(prefix)))
    };
    let mut all = START;
    let mut count = 0;
    for package in lock.split("[[package]]").filter(numeric) {
        count += 1;
        let told = ["name = ", "version = ", "checksum = "];
        for line in package.lines().filter(|line| told.iter().any(|start| line.starts_with(start))) {
            all = digest(all, line.bytes());
        }
    }
    if count == 0 { "unknown".into() } else { format!("{count} crates, {all:016x}") }
}
