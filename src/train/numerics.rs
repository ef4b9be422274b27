//! What equal bits depend on besides the history, found out about this machine and this build.

use std::collections::BTreeMap;

use super::device::{Backend, Place};
use crate::execute::{caches, processor_model};
use crate::record::Numerics;

/// Written where something could not be found out.
const UNKNOWN: &str = "unknown";
/// Version of burn, fixed in Cargo.toml.
const BURN: &str = "0.22.1";

/// The numerics of a device.
pub fn of(place: &Place) -> Numerics {
    let mut details = build();
    details.extend(match place.backend {
        Backend::Flex => processor(),
        Backend::Gpu(_) => gpu(place),
    });
    Numerics { backend: place.backend.name().into(), details }
}

/// Compiler, flags, versions and features, noted by the build script.
fn build() -> BTreeMap<String, String> {
    let all = [("train", true), ("cuda", cfg!(feature = "cuda")), ("wgpu", cfg!(feature = "wgpu"))];
    let features = all.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let noted = [
        ("burn", Some(BURN)),
        ("rustc", option_env!("RUNNER_RUSTC")),
        ("rustflags", option_env!("RUNNER_RUSTFLAGS")),
        ("target", option_env!("RUNNER_TARGET")),
        ("profile", option_env!("RUNNER_PROFILE")),
        ("numeric crates", option_env!("RUNNER_NUMERIC_CRATES")),
        ("features", Some(features.as_str())),
    ];
    noted.into_iter().map(|(name, value)| (name.into(), value.unwrap_or(UNKNOWN).into())).collect()
}

/// Model, instruction set and caches of the CPU: the kernels choose their instructions and blocks by them.
fn processor() -> BTreeMap<String, String> {
    let mut details = BTreeMap::from([
        ("cpu".into(), processor_model().unwrap_or_else(|| UNKNOWN.into())),
        ("instruction set".into(), instruction_set().into()),
    ]);
    let caches = caches();
    if caches.is_empty() {
        details.insert("cache".into(), UNKNOWN.into());
    }
    details.extend(caches);
    details
}

#[cfg(target_arch = "x86_64")]
fn instruction_set() -> &'static str {
    if std::is_x86_feature_detected!("avx512f") {
        "avx512f"
    } else if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        "avx2, fma"
    } else {
        "sse2"
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn instruction_set() -> &'static str {
    std::env::consts::ARCH
}

/// Model and driver of the GPU.
#[cfg(feature = "gpu")]
fn gpu(place: &Place) -> BTreeMap<String, String> {
    let driver = std::fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
    let driver = driver.lines().next().unwrap_or(UNKNOWN).to_string();
    let name =
        place.device.identity().map_or(UNKNOWN.into(), |identity| format!("{}, {}", identity.name, identity.fingerprint));
    BTreeMap::from([("gpu".into(), name), ("driver".into(), driver)])
}

#[cfg(not(feature = "gpu"))]
fn gpu(_place: &Place) -> BTreeMap<String, String> {
    BTreeMap::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::device::Choice;

    #[test]
    fn the_machine_and_the_build_are_described_and_stay() {
        let place = Choice::Cpu.open().unwrap();
        let numerics = of(&place);
        assert_eq!(numerics, of(&place));
        assert_eq!(numerics.backend, "flex");
        for name in ["cpu", "instruction set", "rustc", "rustflags", "burn", "numeric crates", "features"] {
            assert!(numerics.details.contains_key(name), "{name} is missing from {:?}", numerics.details);
        }
        assert!(numerics.details["rustc"].starts_with("rustc "), "{}", numerics.details["rustc"]);
    }

    #[test]
    fn the_version_of_burn_is_the_one_of_the_manifest() {
        let manifest = include_str!("../../Cargo.toml");
        assert!(manifest.contains(&format!("burn = {{ version = \"={BURN}\"")));
    }
}
