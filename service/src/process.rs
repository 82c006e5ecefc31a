//! What the process uses: CPU time, memory, files.

use std::time::{SystemTime, UNIX_EPOCH};

/// Clock ticks per second of /proc/PID/stat (USER_HZ): 100 on every Linux that Helios is built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// The process at one moment.
#[derive(Debug)]
pub struct Process {
    version: &'static str,
    commit: &'static str,
    started: SystemTime,
    usage: Usage,
}

impl Process {
    /// Reads what the process uses now. `version` and `commit` are the program's.
    pub fn read(version: &'static str, commit: &'static str, started: SystemTime) -> Self {
        Self { version, commit, started, usage: Usage::read() }
    }
}

helios_metrics::metrics! {
    /// The process, under the names that all Prometheus clients use for it.
    pub METRICS of Process {
        Gauge "helios_build_info" ["version", "commit"] "Always 1; the version and the commit that it was built from are in the labels" =
            |process, out| out.all([([process.version, process.commit], 1_u64)]);
        Gauge "process_start_time_seconds" [] "Start of the process, Unix time" =
            |process, out| out.one(process.started.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()));
        Counter "process_cpu_seconds_total" [] "CPU time used, user and system" =
            |process, out| out.one(process.usage.cpu_seconds);
        Gauge "process_resident_memory_bytes" [] "Resident memory" =
            |process, out| out.one(process.usage.resident_bytes);
        Gauge "process_open_fds" [] "Open file descriptors" =
            |process, out| out.one(process.usage.open_files);
    }
}

/// Zeros where /proc cannot be read: no reason to fail a scrape.
#[derive(Debug, Default)]
struct Usage {
    cpu_seconds: f64,
    resident_bytes: u64,
    open_files: u64,
}

impl Usage {
    fn read() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let open_files = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
        Self {
            cpu_seconds: cpu_ticks(&stat).unwrap_or(0) as f64 / TICKS_PER_SECOND,
            resident_bytes: resident_kib(&status).unwrap_or(0) * 1024,
            open_files,
        }
    }
}

/// utime + stime, fields 14 and 15 of proc_pid_stat(5). The second field is a name in brackets that may hold spaces.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn resident_kib(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 1 1 1";
        assert_eq!(cpu_ticks(stat), Some(300));
    }

    #[test]
    fn this_process_has_memory_and_open_files() {
        let usage = Usage::read();
        assert!(usage.resident_bytes > 1 << 20 && usage.open_files >= 3, "{usage:?}");
    }
}
