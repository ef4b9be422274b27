//! Where and how a run was made, for its record.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Version, git commit and state, host, cores and the like, by name. What cannot be found out is left out.
pub(crate) fn provenance(root: &Path) -> BTreeMap<String, String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let mut facts = BTreeMap::from([("runner".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            facts.insert(name.to_owned(), value);
        }
    };
    add("git commit", git(&["rev-parse", "HEAD"]));
    // The changes themselves would make records large; their digest tells two states apart.
    add(
        "git diff blake3",
        git(&["diff", "HEAD"]).filter(|diff| !diff.is_empty()).map(|diff| crate::history::digest_text(diff.as_bytes())),
    );
    add("host", std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|host| host.trim().to_owned()));
    add("system", Some(format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)));
    // The very program: its versions and commit may be the same and its code not.
    let program = std::env::current_exe().and_then(std::fs::read).ok();
    add("program", program.map(|bytes| crate::history::digest_text(&bytes)[..16].to_owned()));
    add("lock file", option_env!("RUNNER_LOCK_FILE").map(str::to_owned));
    add("features", Some(features()));
    add("threads", std::env::var("RAYON_NUM_THREADS").ok());
    add("cores", std::thread::available_parallelism().ok().map(|cores| cores.to_string()));
    facts
}

/// What was built in.
fn features() -> String {
    let all = [("train", cfg!(feature = "train")), ("cuda", cfg!(feature = "cuda")), ("wgpu", cfg!(feature = "wgpu"))];
    all.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}
