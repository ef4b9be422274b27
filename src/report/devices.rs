//! The devices of a machine, as a table.

use serde::Serialize;

use super::numbers::size;
use super::style::Style;
use super::table::Table;

/// What there is to train on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Devices {
    pub cpu: ProcessorFacts,
    pub gpus: Vec<Gpu>,
    /// Whether this build can use NVIDIA GPUs at all.
    pub build_has_cuda: bool,
    /// GPUs that this build finds; `auto` takes the first.
    pub gpus_usable: usize,
}

/// The processor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProcessorFacts {
    pub name: String,
    /// Threads that may run at once.
    pub cores: usize,
    /// Memory of the machine and what of it is free, bytes; 0 where the system does not say.
    pub memory_bytes: u64,
    pub free_bytes: u64,
    pub caches: Vec<Cache>,
}

/// A cache of the first core, as the system writes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cache {
    pub name: String,
    pub size: String,
}

/// A GPU that the driver lists.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gpu {
    pub index: usize,
    pub name: String,
    pub memory_bytes: u64,
    pub free_bytes: u64,
    pub driver: String,
}

/// Bytes in the MiB that the driver counts in.
const MEBIBYTE: u64 = 1 << 20;

/// The GPUs in the answer of `nvidia-smi --query-gpu=index,name,memory.total,memory.free,driver_version
/// --format=csv,noheader,nounits`. A line that is something else is left out.
pub fn gpus_listed(answer: &str) -> Vec<Gpu> {
    let gpu = |line: &str| {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let [index, name, total, free, driver] = fields[..] else { return None };
        let bytes = |text: &str| text.parse::<u64>().unwrap_or(0) * MEBIBYTE;
        let (memory_bytes, free_bytes) = (bytes(total), bytes(free));
        Some(Gpu { index: index.parse().ok()?, name: name.into(), memory_bytes, free_bytes, driver: driver.into() })
    };
    answer.lines().filter_map(gpu).collect()
}

impl Devices {
    /// The table, the CPU's caches, and what `auto` takes.
    pub fn shown(&self, style: Style) -> String {
        let mut table = Table::new(["device", "name", "cores", "memory", "free", "driver"]);
        let known = |bytes: u64| if bytes > 0 { size(bytes) } else { "-".into() };
        let cpu = &self.cpu;
        let (memory, free) = (known(cpu.memory_bytes), known(cpu.free_bytes));
        table.row(["cpu".into(), cpu.name.clone(), cpu.cores.to_string(), memory, free, "-".into()]);
        for gpu in &self.gpus {
            let (memory, free) = (known(gpu.memory_bytes), known(gpu.free_bytes));
            let device = format!("cuda:{}", gpu.index);
            table.row([device, gpu.name.clone(), "-".into(), memory, free, gpu.driver.clone()]);
        }
        let caches: Vec<String> = cpu.caches.iter().map(|cache| format!("{} {}", cache.name, cache.size)).collect();
        let caches = if caches.is_empty() { String::new() } else { format!("cpu: {}\n", caches.join(", ")) };
        format!("{}\n{caches}{}\n", table.shown(style), self.verdict())
    }

    /// What `auto` takes, and why it is not a GPU.
    pub fn verdict(&self) -> String {
        let build = "build it with `cargo build --release --features cuda`";
        match (self.build_has_cuda, self.gpus_usable, self.gpus.is_empty()) {
            (true, 1.., _) => "`--device auto` takes cuda:0".into(),
            (true, 0, true) => "`--device auto` takes the CPU: no NVIDIA driver answers".into(),
            (true, 0, false) => "`--device auto` takes the CPU: the driver lists a GPU that CUDA does not find".into(),
            (false, _, true) => {
                format!("`--device auto` takes the CPU: this build has no CUDA ({build}), and no NVIDIA driver answers")
            }
            (false, _, false) => format!("`--device auto` takes the CPU: this build has no CUDA; to use the GPU {build}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "0, NVIDIA H100 80GB HBM3, 81559, 81000, 570.86.15\n1, NVIDIA H100 80GB HBM3, 81559, 5, 570.86.15\n";

    fn devices(answer: &str, build_has_cuda: bool, gpus_usable: usize) -> Devices {
        let caches = vec![Cache { name: "cache L2".into(), size: "1024K".into() }];
        let (memory_bytes, free_bytes) = (25_000_000_000, 13_000_000_000);
        let cpu = ProcessorFacts { name: "AMD EPYC 7763".into(), cores: 2, memory_bytes, free_bytes, caches };
        Devices { cpu, gpus: gpus_listed(answer), build_has_cuda, gpus_usable }
    }

    #[test]
    fn the_drivers_answer_is_read() {
        let gpus = gpus_listed(ANSWER);
        assert_eq!((gpus.len(), gpus[1].index, gpus[1].free_bytes), (2, 1, 5 << 20));
        assert_eq!((gpus[0].name.as_str(), gpus[0].driver.as_str()), ("NVIDIA H100 80GB HBM3", "570.86.15"));
        assert!(gpus_listed("No devices were found\n").is_empty());
        assert_eq!(gpus_listed("0, A, [N/A], [N/A], 1.2")[0].memory_bytes, 0);
    }

    #[test]
    fn cpu_and_gpus_are_listed_and_the_choice_is_said() {
        let shown = devices(ANSWER, true, 2).shown(Style::default());
        assert!(shown.contains("AMD EPYC 7763") && shown.contains("25.0 GB") && shown.contains("cache L2 1024K"), "{shown}");
        assert!(shown.contains("cuda:1") && shown.contains("570.86.15") && shown.ends_with("takes cuda:0\n"), "{shown}");
    }

    #[test]
    fn why_there_is_no_gpu_is_said() {
        assert!(devices("", true, 0).verdict().contains("no NVIDIA driver answers"));
        assert!(devices(ANSWER, true, 0).verdict().contains("CUDA does not find"));
        assert!(devices(ANSWER, false, 0).verdict().contains("to use the GPU build it with"));
        let both = devices("", false, 0).verdict();
        assert!(both.contains("this build has no CUDA") && both.contains("no NVIDIA driver answers"), "{both}");
    }
}
