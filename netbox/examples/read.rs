//! Reads a NetBox once and says what it has and what that took: `read URL [TOKEN_FILE]`.

use std::time::{Duration, Instant};

use helios_netbox::{NetBox, NetBoxConfig};

#[expect(clippy::print_stdout, reason = "a program that prints")]
fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next();
    let token_file = arguments.next().map(Into::into);
    let began = Instant::now();
    let netbox = NetBox::start(NetBoxConfig { url, token_file, ..NetBoxConfig::default() }, None)?;
    while netbox.current().is_none() && netbox.stats().problem.is_none() {
        std::thread::sleep(Duration::from_millis(20)); // between two looks
    }
    println!("{:?} {:?}", began.elapsed(), netbox.stats());
    // Linux tells the peak of the memory; elsewhere it is left out.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
    if let Some(snapshot) = netbox.current() {
        for device in snapshot.tables.devices.rows().iter().take(3) {
            let interfaces = snapshot.interfaces_of(device.id).count();
            println!("{} {} {interfaces}", snapshot.text(device.name), snapshot.site_name(device.site));
        }
    }
    Ok(())
}
