//! Memory of this process, as the system counts it.

use super::machine::kilobytes;

/// What it has on the machine now, bytes; 0 where the system does not say.
pub fn memory() -> u64 {
    counted("VmRSS:")
}

/// The most it has had, bytes; 0 where the system does not say.
pub fn peak_memory() -> u64 {
    counted("VmHWM:")
}

/// Counts the most anew from what it has now, where the system can.
pub fn forget_peak_memory() {
    // The number is the system's word for it. Where it is not understood, the most so far stays.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn counted(name: &str) -> u64 {
    kilobytes(&std::fs::read_to_string("/proc/self/status").unwrap_or_default(), name) * 1024
}
