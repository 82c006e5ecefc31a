//! The test server as large as a large NetBox: 8,000 devices, 400,000 interfaces, 100,000 prefixes. Prints its address and
//! serves until its standard input ends: the other half of `make bench SUITE=netbox`.

use helios_testkit::netbox::{Server, World};

#[expect(clippy::print_stdout, reason = "a program that prints")]
fn main() -> std::io::Result<()> {
    let world = World { devices: 8000, interfaces_per_device: 50, prefixes: 100_000, ..World::default() };
    println!("{}", Server::start(world).url());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).map(drop)
}
