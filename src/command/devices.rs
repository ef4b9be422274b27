//! What there is to train on: `runner bench --devices`, and the word on what `auto` took.

use std::process::{Command, Stdio};

use super::{Fault, print, print_json, terminal};
use crate::execute::processor;
use crate::record::Numerics;
use crate::report::{Cache, Devices, Gpu, ProcessorFacts, gpus_listed};

/// Lists the devices of this machine.
pub(crate) fn list(json: bool) -> Result<(), Fault> {
    let devices = found();
    if json { print_json(&devices) } else { print(&devices.shown(terminal::style())) }
}

/// What stands behind `auto`: the device's own words for itself.
pub(crate) fn taken(numerics: &Numerics) -> String {
    let detail = |name: &str| numerics.details.get(name).cloned().unwrap_or_else(|| "unknown".into());
    match numerics.is_gpu() {
        true => format!("a GPU ({})", detail("gpu")),
        false => format!("the CPU ({})", detail("cpu")),
    }
}

fn found() -> Devices {
    let processor = processor();
    let caches = processor.caches.into_iter().map(|(name, size)| Cache { name, size });
    let cpu = ProcessorFacts {
        name: processor.model.unwrap_or_else(|| "unknown".into()),
        cores: processor.cores,
        memory_bytes: processor.memory_bytes,
        free_bytes: processor.free_bytes,
        caches: caches.collect(),
    };
    let gpus_usable = usable();
    let listed = gpus_listed(&drivers_answer().unwrap_or_default());
    // Where CUDA finds GPUs and nothing describes them, they are listed all the same.
    let unnamed = (0..gpus_usable).filter(|_| listed.is_empty()).map(unnamed).collect();
    let gpus = if listed.is_empty() { unnamed } else { listed };
    Devices { cpu, gpus, build_has_cuda: cfg!(feature = "cuda"), gpus_usable }
}

fn unnamed(index: usize) -> Gpu {
    Gpu { index, name: "unknown".into(), memory_bytes: 0, free_bytes: 0, driver: "unknown".into() }
}

/// The driver's own program describes its GPUs; it comes with the driver.
fn drivers_answer() -> Option<String> {
    let mut command = Command::new("nvidia-smi");
    command.args(["--query-gpu=index,name,memory.total,memory.free,driver_version", "--format=csv,noheader,nounits"]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(feature = "train")]
fn usable() -> usize {
    crate::train::gpus()
}

#[cfg(not(feature = "train"))]
fn usable() -> usize {
    0
}
