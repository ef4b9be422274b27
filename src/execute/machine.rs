//! What this machine is, as the system describes it.

use std::fs;

/// The processor and its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processor {
    pub model: Option<String>,
    /// Threads that this process may run at once.
    pub cores: usize,
    /// Memory of the machine, bytes; 0 where the system does not say.
    pub memory_bytes: u64,
    /// What of it is free for new work, bytes; 0 where the system does not say.
    pub free_bytes: u64,
    /// Name and size of each of the first core's caches: `cache L2`, `1024K`.
    pub caches: Vec<(String, String)>,
}

/// Describes this machine's processor.
pub fn processor() -> Processor {
    Processor {
        model: processor_model(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: of_machine("MemTotal:"),
        free_bytes: free_memory(),
        caches: caches(),
    }
}

/// Memory of the machine that is free for new work, bytes; 0 where the system does not say.
pub fn free_memory() -> u64 {
    of_machine("MemAvailable:")
}

/// A line of /proc/meminfo, bytes.
fn of_machine(name: &str) -> u64 {
    kilobytes(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), name) * 1024
}

/// The number behind a name, as files of /proc give memory; 0 where there is none.
pub(super) fn kilobytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The model of the CPU.
pub fn processor_model() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut fields = info.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(key, _)| key.trim() == "model name").map(|(_, value)| value.trim().to_owned())
}

/// Names and sizes of the first core's caches.
pub fn caches() -> Vec<(String, String)> {
    (0..4).filter_map(cache).collect()
}

fn cache(index: usize) -> Option<(String, String)> {
    let read = |name: &str| {
        let text = fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{name}")).ok()?;
        Some(text.trim().to_string())
    };
    let kind = match read("type")?.as_str() {
        "Data" => "d",
        "Instruction" => "i",
        _ => "",
    };
    Some((format!("cache L{}{kind}", read("level")?), read("size")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_by_name() {
        let text = "MemTotal:       24689712 kB\nMemFree:         1024 kB\nMemAvailable:   14000000 kB\n";
        assert_eq!([kilobytes(text, "MemTotal:"), kilobytes(text, "MemAvailable:")], [24_689_712, 14_000_000]);
        assert_eq!(kilobytes(text, "Swap:"), 0);
    }
}
