//! What this machine has: programs, processes with a limit, folders in memory, mounts.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::world::World;

/// The program under test.
pub const RUNNER: &str = env!("CARGO_BIN_EXE_runner");

/// Longer than anything a trial starts should take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where a program lies, also in the folders of the administrator.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"]);
    folders.map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}

/// The first of these programs that is not there, as a reason.
pub fn missing(programs: &[&str]) -> Option<String> {
    programs.iter().find(|program| find(program).is_none()).map(|program| format!("needs {program}"))
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// A folder in memory where there is such a place.
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// A project without files.
pub fn empty_world() -> World {
    world_in(folder())
}

pub fn world_in(folder: TempDir) -> World {
    World { folder, warnings: std::sync::Mutex::default() }
}

/// A copy of a project.
pub fn copied(world: &World) -> World {
    let copy = empty_world();
    copy_folder(world.path(), copy.path());
    copy
}

/// Copies what is in a folder into another; links stay links.
pub fn copy_folder(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from).min_depth(1) {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target).unwrap();
        } else if entry.file_type().is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path()).unwrap(), &target).unwrap();
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// The program under test, on a project.
pub fn runner(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(RUNNER);
    // Backtraces would take longer than the trials.
    command.arg("-C").arg(folder).args(arguments).env("RUST_BACKTRACE", "0");
    command
}

/// This very binary as a runner with a fake executor, on a project. Without a `PATH` it asks no git for its provenance.
pub fn victim(folder: &Path, experiment: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(victim_arguments(folder, experiment)).env("PATH", "").env("RUST_BACKTRACE", "0");
    command
}

pub fn victim_arguments(folder: &Path, experiment: &str) -> [String; 3] {
    ["victim".into(), folder.to_str().unwrap().into(), experiment.into()]
}

/// A command that cannot have more than so much address space.
pub fn bounded(command: &Command, kib: u64) -> Command {
    let mut bounded = Command::new("sh");
    bounded.arg("-c").arg(format!("ulimit -v {kib}; exec \"$@\"")).arg("sh").arg(command.get_program());
    bounded.args(command.get_args());
    for (name, value) in command.get_envs() {
        // The shell itself is found by the path of this process.
        if let (Some(value), false) = (value, name == "PATH") {
            bounded.env(name, value);
        }
    }
    bounded
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub timed_out: bool,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
    /// Its number.
    pub process: u32,
    /// The most memory it was seen to have, KiB.
    pub peak_kib: u64,
    /// The most address space it was seen to have, KiB.
    pub address_kib: u64,
}

impl Ended {
    pub fn is_success(&self) -> bool {
        self.status.success() && !self.timed_out
    }

    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// The end of what it said.
    pub fn said(&self) -> String {
        let text = self.stderr.trim_end();
        let from = text.char_indices().rev().nth(400).map_or(0, |(at, _)| at);
        format!("{}: {}", self.status, &text[from..])
    }

    /// An error where it hung, panicked or was ended by a signal.
    pub fn civil(&self) -> Result<(), String> {
        if self.timed_out {
            return Err(format!("it had not ended after {:.0?}", self.took));
        }
        match self.signal().is_some() || self.stderr.contains("panicked at") || self.status.code() == Some(101) {
            true => Err(self.said()),
            false => Ok(()),
        }
    }

    /// An error where it did not do what it was asked.
    pub fn success(&self) -> Result<(), String> {
        self.civil()?;
        if self.is_success() { Ok(()) } else { Err(self.said()) }
    }
}

/// Runs a command to its end, or kills it at the limit.
pub fn finish(command: &mut Command, limit: Duration) -> Result<Ended, String> {
    let began = Instant::now();
    let (mut stdout, mut stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    command.stdin(Stdio::null()).stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
    let mut child = command.spawn().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    let process = child.id();
    let (mut timed_out, mut peak_kib, mut address_kib, mut polls) = (false, 0, 0, 0);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > limit {
            timed_out = true;
            child.kill().unwrap();
            break child.wait().unwrap();
        }
        polls += 1;
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        peak_kib = peak_kib.max(kib_in(&status, "VmHWM:"));
        address_kib = address_kib.max(kib_in(&status, "VmPeak:"));
        std::thread::sleep(Duration::from_micros(if polls < 50 { 500 } else { 3_000 }));
    };
    let (stdout, stderr) = (text(&mut stdout), text(&mut stderr));
    Ok(Ended { status, timed_out, stdout, stderr, took: began.elapsed(), process, peak_kib, address_kib })
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A figure in what the system says about a running process, KiB.
fn kib_in(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Runs a command of the system.
pub fn system(program: &str, arguments: &[&str]) -> Result<(), String> {
    let path = find(program).ok_or_else(|| format!("needs {program}"))?;
    let ended = finish(Command::new(path).args(arguments), PATIENCE)?;
    ended.success().map_err(|what| format!("{program} {}: {what}", arguments.join(" ")))
}

/// A mounted file system, gone when dropped.
pub struct Mount {
    at: TempDir,
}

impl Mount {
    /// A file system in memory, with `mount`'s options.
    pub fn memory(options: &str) -> Result<Mount, String> {
        Mount::new(&["-t", "tmpfs", "-o", options, "tmpfs"])
    }

    /// The file system of an image.
    pub fn image(image: &Path) -> Result<Mount, String> {
        Mount::new(&["-o", "loop", image.to_str().unwrap()])
    }

    fn new(arguments: &[&str]) -> Result<Mount, String> {
        let at = folder();
        system("mount", &[arguments, &[at.path().to_str().unwrap()][..]].concat())?;
        Ok(Mount { at })
    }

    pub fn path(&self) -> &Path {
        self.at.path()
    }

    /// Changes its options.
    pub fn again(&self, options: &str) -> Result<(), String> {
        system("mount", &["-o", &format!("remount,{options}"), self.path().to_str().unwrap()])
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let at = self.at.path().to_str().unwrap_or_default().to_owned();
        if system("umount", &[&at]).is_err() {
            // Something in it is still open; it goes when that ends.
            let _ = system("umount", &["-l", &at]);
        }
    }
}
