//! What the kernel says about a process.

use std::fs;

/// What a process is and has used.
pub(crate) struct Footprint {
    /// Its share of what it maps.
    pub(crate) pss_kb: f64,
    /// Memory that is only its own and has no file behind it.
    pub(crate) anon_kb: f64,
    /// That, and what the kernel keeps for it: page tables, 16 kB of stack a thread.
    pub(crate) own_kb: f64,
    /// Threads.
    pub(crate) threads: f64,
    /// Context switches so far, of all threads.
    pub(crate) switches: f64,
    /// Processor time so far.
    pub(crate) cpu_ns: f64,
    /// Bytes it has caused to be written to storage so far.
    pub(crate) written: f64,
}

impl Footprint {
    /// As of now.
    pub(crate) fn of(pid: u32) -> Footprint {
        let smaps = read(pid, "smaps_rollup");
        let threads = tasks(pid).len() as f64;
        let anon_kb = field(&smaps, "Anonymous:");
        let tables_kb = field(&read(pid, "status"), "VmPTE:");
        let switches = |task: &String| {
            let status = read(pid, &format!("task/{task}/status"));
            field(&status, "voluntary_ctxt_switches:")
                + field(&status, "nonvoluntary_ctxt_switches:")
        };
        Footprint {
            pss_kb: field(&smaps, "Pss:"),
            anon_kb,
            own_kb: anon_kb + tables_kb + 16.0 * threads,
            threads,
            switches: tasks(pid).iter().map(switches).sum(),
            cpu_ns: cpu_ns(pid) as f64,
            written: field(&read(pid, "io"), "write_bytes:"),
        }
    }
}

/// Nanoseconds on a processor so far, of all threads alive.
pub(crate) fn cpu_ns(pid: u32) -> u64 {
    let of = |task: &String| -> u64 {
        let text = read(pid, &format!("task/{task}/schedstat"));
        text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
    };
    tasks(pid).iter().map(of).sum()
}

/// Resident memory.
pub(crate) fn rss_kb(pid: u32) -> f64 {
    field(&read(pid, "status"), "VmRSS:")
}

fn tasks(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).expect("the broker lives");
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn read(pid: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
}

fn field(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|rest| rest.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or(0.0)
}
