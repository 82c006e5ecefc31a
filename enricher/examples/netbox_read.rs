//! Reads a NetBox, builds the tables that rows are enriched from, reads it again, and says what each took:
//! `netbox_read URL [TOKEN_FILE]`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use helios_common::names::Names;
use helios_enricher::config::EnricherConfig;
use helios_enricher::sources::netbox::external;
use helios_enricher::sources::{Remotes, Sources};
use helios_netbox::{NetBox, NetBoxConfig};

/// Peak and present size of this process, where the system is Linux.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines: Vec<&str> =
        status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS")).collect();
    lines.join(", ").replace('\t', " ")
}

/// Has NetBox read by `ask` and says what that took.
#[expect(clippy::print_stdout, reason = "a program that prints")]
fn read_again(netbox: &NetBox, what: &str, ask: impl Fn(&NetBox)) {
    let (began, before) = (Instant::now(), netbox.stats());
    ask(netbox);
    let after = loop {
        let now = netbox.stats();
        if now.refreshes > before.refreshes || now.problem.is_some() {
            break now;
        }
        std::thread::sleep(Duration::from_millis(20)); // between two looks
    };
    let (requests, bytes) = (after.requests - before.requests, after.bytes - before.bytes);
    println!("{what:<10}{:?}, {requests} requests, {bytes} bytes, problem: {:?}", began.elapsed(), after.problem);
}

#[expect(clippy::print_stdout, reason = "a program that prints")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next();
    let token_file = arguments.next().map(Into::into);
    let began = Instant::now();
    let netbox = Arc::new(NetBox::start(NetBoxConfig { url, token_file, ..NetBoxConfig::default() }, None)?);
    while netbox.current().is_none() && netbox.stats().problem.is_none() {
        std::thread::sleep(Duration::from_millis(20)); // between two looks
    }
    println!("snapshot  {:?}, {}\n          {:?}", began.elapsed(), memory(), netbox.stats());
    let (began, names) = (Instant::now(), Arc::new(Names::new()));
    let source = external("netbox", {
        let netbox = Arc::clone(&netbox);
        move || netbox.current()
    });
    let (_sources, snapshot) = Sources::open(&EnricherConfig::default(), vec![source], Remotes::AskOnce, &names)?;
    println!("tables    {:?}, {}", began.elapsed(), memory());
    println!(
        "          {} devices, {} interfaces, {} bytes of tables of addresses",
        snapshot.directory.len(),
        snapshot.directory.n_interfaces(),
        snapshot.addresses.bytes()
    );
    read_again(&netbox, "quiet", NetBox::hint);
    read_again(&netbox, "full", NetBox::hint_full);
    Ok(())
}
