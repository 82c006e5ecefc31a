//! `helios`: arguments in, subcommand, exit code out.

use std::process::ExitCode;

use clap::Parser;
use helios::cmd::Cli;

/// Measured even with glibc's on a glibc system, but a static build keeps its speed with it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// EX_USAGE; clap's own 2 would be taken for a run-time failure by a supervisor.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    helios_service::huge_pages::disable();
    // Fails only if a provider is installed already, and nothing ran before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way, too, and are no mistakes.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report("helios"),
    }
}
