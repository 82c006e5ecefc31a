//! File descriptors: some are kept for files and inserts, whoever connects.
//!
//! A connection takes one: the number of connections follows from the limit of open files.

use nix::sys::resource::{Resource, getrlimit};

/// Descriptors that connections leave to sockets, files of the state and of the spool, and inserts.
const RESERVE: usize = 512;

/// How many files this process may have open.
pub(crate) fn limit() -> usize {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft.try_into().unwrap_or(usize::MAX))
}

/// How many of `wanted` connections there is room for under a limit of open files: the reserve stays, or three quarters
/// where the limit is low.
pub(crate) const fn connections(wanted: usize, limit: usize) -> usize {
    let (beyond, quarter) = (limit.saturating_sub(RESERVE), limit / 4);
    let most = if beyond > quarter { beyond } else { quarter };
    if wanted < most { wanted } else { most }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_a_reserve() {
        assert_eq!(connections(2048, 1 << 20), 2048);
        assert_eq!(connections(2048, 1024), 512);
        assert_eq!(connections(2048, 600), 150);
        assert_eq!(connections(10, 64), 10);
    }
}
