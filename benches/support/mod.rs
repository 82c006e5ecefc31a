//! What the benches share: traffic, the decoders to compare with, and ratios that hold on a noisy machine.

pub mod traffic;
pub mod helios;
pub mod netflow_peer;
pub mod sflow_peer;
pub mod socket;
pub mod cpu;
