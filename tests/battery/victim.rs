//! `battery victim DIR EXPERIMENT`: this binary as a runner with a fake executor, for rows that kill it, starve it, or fail
//! its system calls. It prints `saved <path>` for every checkpoint once it is saved.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use runner::command::run::run_with;
use runner::execute::{Event, Events, Fake};
use runner::plan::Owner;
use runner::store::{Disk, RealDisk, Store};

/// Lines of a command to which `-p <thread>` is added: it is started as soon as the thread that trains begins, and waited for.
pub const ATTACH: &str = "BATTERY_ATTACH";
/// Set where the disk is not to be waited for: the control of the lost power.
pub const NO_SYNC: &str = "BATTERY_NO_SYNC";
/// Exit code where the tracer did not come.
pub const UNTRACED: i32 = 77;

pub fn main(folder: &str, experiment: &str) -> ExitCode {
    let folder = Path::new(folder);
    let disk: Arc<dyn Disk> = match std::env::var_os(NO_SYNC) {
        Some(_) => Arc::new(NoSync),
        None => Arc::new(RealDisk),
    };
    let told = Told {
        store: Store::new(folder.join("runs"), Arc::new(RealDisk)),
        attach: std::env::var(ATTACH).ok(),
        tracer: Mutex::new(None),
    };
    let outcome = run_with(folder, Path::new(experiment), &Fake::default(), disk, 1, &|| false, &told);
    // The tracer goes with its thread.
    if let Some(mut tracer) = told.tracer.into_inner().unwrap() {
        tracer.wait().unwrap();
    }
    match outcome {
        Ok(outcome) if outcome.failures.is_empty() => ExitCode::SUCCESS,
        Ok(outcome) => {
            eprintln!("error: {}", outcome.failures.join("\n  "));
            ExitCode::FAILURE
        }
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

struct Told {
    store: Store,
    attach: Option<String>,
    tracer: Mutex<Option<Child>>,
}

impl Events for Told {
    fn on(&self, event: Event<'_>) {
        match event {
            Event::Started { .. } => self.let_trace(),
            Event::Saved { segment, step } => {
                let folder = match &segment.owner {
                    Owner::Leaf(key) => self.store.leaf_folder(key),
                    Owner::Shared(experiment) => self.store.shared_folder(experiment),
                };
                let folder = folder.strip_prefix(self.store.root()).unwrap_or(&folder).display().to_string();
                println!("saved {folder}/{step}-{}", segment.history.ids([step])[0].short());
            }
            Event::Warning(text) => eprintln!("warning: {text}"),
            _ => {}
        }
    }
}

impl Told {
    /// Starts the tracer on this thread alone and goes on when it is there. strace counts the calls of each thread apart, so a
    /// tracer of the whole process could not single out the n-th call of the thread that trains.
    fn let_trace(&self) {
        let mut tracer = self.tracer.lock().unwrap();
        let (Some(attach), None) = (&self.attach, tracer.as_ref()) else { return };
        let this = fs::read_link("/proc/thread-self").unwrap();
        let this = this.file_name().unwrap().to_owned();
        let status = File::open("/proc/thread-self/status").unwrap();
        let mut words = attach.lines();
        let mut command = Command::new(words.next().unwrap());
        command.args(words).arg("-p").arg(this).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        *tracer = Some(command.spawn().unwrap());
        let began = Instant::now();
        let mut text = [0; 8192];
        // Read in place: opening and closing would be counted.
        while status.read_at(&mut text, 0).is_ok_and(|read| untraced(&text[..read])) {
            if began.elapsed() > Duration::from_secs(5) {
                std::process::exit(UNTRACED);
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        // It is known to be traced a moment before its calls are stopped at.
        std::thread::sleep(Duration::from_millis(5));
        std::mem::forget(status);
    }
}

fn untraced(status: &[u8]) -> bool {
    String::from_utf8_lossy(status).contains("TracerPid:\t0\n")
}

/// A disk that is not waited for.
struct NoSync;

impl Disk for NoSync {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_folder(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::write(path, bytes)
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        RealDisk.append(path, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_folder(path)
    }
}
