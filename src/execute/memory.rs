//! Memory of this process, as the system counts it.

/// What it has on the machine now, bytes; 0 where the system does not say.
pub fn memory() -> u64 {
    counted("VmRSS:")
}

/// The most it has had, bytes; 0 where the system does not say.
pub fn peak_memory() -> u64 {
    counted("VmHWM:")
}

fn counted(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kilobytes| kilobytes * 1024)
}
