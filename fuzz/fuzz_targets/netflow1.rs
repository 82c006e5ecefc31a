//! Any octets as one message of this version, twice to the same decoder.
#![no_main]

use helios_collector::decode::Protocol;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| helios_fuzz::message(Protocol::Netflow1, octets));
