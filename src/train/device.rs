//! Which machine part trains: chosen by name, opened with a clear error.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, FloatDType};

use super::crew::Crew;
use crate::execute::Failure;
use crate::spec::Precision;

/// The device asked for: `auto`, `cpu`, `cuda` or `cuda:1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The first NVIDIA GPU where there is one and the build can use it, otherwise the CPU.
    #[default]
    Auto,
    Cpu,
    /// The NVIDIA GPU with this index.
    Cuda(usize),
    /// Whatever wgpu finds first. For testing what a GPU runs where there is none: a driver in software will do.
    Wgpu,
}

/// The backend behind an open device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// burn's CPU backend.
    Flex,
    /// A device with a memory of its own, that works through what it is given while the program goes on.
    Gpu(Api),
}

/// How the program talks to a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    Cuda,
    Wgpu,
}

impl Backend {
    /// As it is recorded.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Flex => "flex",
            Backend::Gpu(Api::Cuda) => "cuda",
            Backend::Gpu(Api::Wgpu) => "wgpu",
        }
    }

    pub fn is_gpu(self) -> bool {
        matches!(self, Backend::Gpu(_))
    }
}

/// An open device without autodiff: what requires a gradient is said tensor by tensor.
#[derive(Clone, Debug)]
pub struct Place {
    pub device: Device,
    pub backend: Backend,
    /// Whether kernels of our own run there; tests imitate a GPU without them.
    pub has_kernels: bool,
    /// The machine's cores, shared by all that was opened with this place.
    pub crew: Crew,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        let index = |text: &str| text.parse().map_err(|_| format!("`{text}` is no index of a GPU: write `cuda:0`"));
        match text {
            "auto" => Ok(Choice::Auto),
            "cpu" => Ok(Choice::Cpu),
            "cuda" => Ok(Choice::Cuda(0)),
            "wgpu" => Ok(Choice::Wgpu),
            _ => match text.strip_prefix("cuda:") {
                Some(number) => index(number).map(Choice::Cuda),
                None => Err(format!("`{text}` is no device: write `auto`, `cpu`, `cuda` or `cuda:1`")),
            },
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Auto => f.write_str("auto"),
            Choice::Cpu => f.write_str("cpu"),
            Choice::Cuda(index) => write!(f, "cuda:{index}"),
            Choice::Wgpu => f.write_str("wgpu"),
        }
    }
}

impl Choice {
    /// Opens the device, or says what is missing.
    pub fn open(self) -> Result<Place, Failure> {
        match self {
            Choice::Cpu => Ok(cpu()),
            Choice::Cuda(index) => cuda(index),
            Choice::Wgpu => wgpu(),
            Choice::Auto if gpus() > 0 => cuda(0),
            Choice::Auto => Ok(cpu()),
        }
    }
}

impl Place {
    /// Whether products can be computed in a format. The CPU could imitate bf16, only slower than f32.
    pub fn computes(&self, precision: Precision) -> bool {
        match precision {
            Precision::F32 => true,
            Precision::Bf16 => self.backend.is_gpu() && self.device.supports_dtype(FloatDType::BF16),
        }
    }
}

fn cpu() -> Place {
    Place { device: Device::flex(), backend: Backend::Flex, has_kernels: false, crew: Crew::new() }
}

/// Number of NVIDIA GPUs this build can use. Opening a GPU that is not there panics, so they are counted first.
#[cfg(feature = "cuda")]
pub fn gpus() -> usize {
    Device::enumerate(burn::tensor::DeviceType::Cuda).into_iter().count()
}

/// Number of NVIDIA GPUs this build can use: it has no CUDA.
#[cfg(not(feature = "cuda"))]
pub fn gpus() -> usize {
    0
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<Place, Failure> {
    match gpus() {
        0 => Err(Failure::Device("no NVIDIA GPU was found: is the driver installed? `--device cpu` trains on the CPU".into())),
        found if index >= found => {
            Err(Failure::Device(format!("there is no `cuda:{index}`: {found} GPU(s) were found, counted from 0")))
        }
        _ => Ok(Place { device: Device::cuda(index), backend: Backend::Gpu(Api::Cuda), has_kernels: true, crew: Crew::new() }),
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda(index: usize) -> Result<Place, Failure> {
    let how = "build it with `cargo build --release --features cuda`, or use `--device cpu`";
    Err(Failure::Device(format!("`cuda:{index}` needs a build with the feature `cuda`: {how}")))
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Place, Failure> {
    use burn::tensor::{DeviceKind, DeviceType};
    match Device::enumerate(DeviceType::Wgpu).into_iter().count() {
        0 => Err(Failure::Device("wgpu found no device: is a driver installed?".into())),
        _ => Ok(Place {
            device: Device::wgpu(DeviceKind::DefaultDevice),
            backend: Backend::Gpu(Api::Wgpu),
            has_kernels: true,
            crew: Crew::new(),
        }),
    }
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<Place, Failure> {
    let how = "it is for tests, and built with `cargo build --release --features wgpu`";
    Err(Failure::Device(format!("`wgpu` needs a build with the feature `wgpu`: {how}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named() {
        for (text, choice) in [("auto", Choice::Auto), ("cpu", Choice::Cpu), ("cuda:1", Choice::Cuda(1))] {
            assert_eq!(text.parse(), Ok(choice));
            assert_eq!(choice.to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(Choice::Cuda(0)));
        assert!("gpu".parse::<Choice>().unwrap_err().contains("`auto`"));
        assert!("cuda:x".parse::<Choice>().unwrap_err().contains("cuda:0"));
    }

    #[test]
    fn the_cpu_is_always_there_and_a_missing_gpu_is_said() {
        assert_eq!(Choice::Cpu.open().unwrap().backend, Backend::Flex);
        let Err(Failure::Device(message)) = Choice::Cuda(99).open() else { panic!("there are no hundred GPUs") };
        assert!(message.contains("cuda"), "{message}");
    }
}
