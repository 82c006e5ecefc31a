//! The process itself, under the names that all Prometheus clients use for it.

use std::fmt;
use std::time::UNIX_EPOCH;

use super::scrape::Scrape;
use super::table;
use crate::pipeline::View;

/// Clock ticks per second of /proc/PID/stat (USER_HZ): 100 on every Linux that Helios is built for.
const TICKS_PER_SECOND: f64 = 100.0;

pub fn write(out: &mut Scrape<'_>, view: &View) -> fmt::Result {
    out.family(&table::BUILD_INFO, [([env!("CARGO_PKG_VERSION")], 1_u64)])?;
    let started = view.started().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    out.one(&table::PROCESS_START_TIME, started)?;
    let usage = Usage::read();
    out.one(&table::PROCESS_CPU, usage.cpu_seconds)?;
    out.one(&table::PROCESS_MEMORY, usage.resident_bytes)?;
    out.one(&table::PROCESS_OPEN_FDS, usage.open_files)
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
