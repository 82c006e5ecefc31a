//! The command line as a user and a supervisor meet it: help, exit codes, one clear line for what is wrong.

use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Output};

const SUBCOMMANDS: [&str; 11] =
    ["run", "check", "migrate", "retention", "spool", "decode", "replay", "simulate", "top", "query", "targets"];

fn helios(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_helios")).args(arguments).env_clear().output().unwrap()
}

/// Exit code and standard error.
fn failure(arguments: &[&str]) -> (i32, String) {
    let output = helios(arguments);
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// A failure of one line, which it returns.
fn one_line(arguments: &[&str], code: i32) -> String {
    let (found, stderr) = failure(arguments);
    assert_eq!(found, code, "{stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    stderr.trim_end().to_owned()
}

#[test]
fn every_subcommand_explains_itself_with_an_example() {
    for subcommand in SUBCOMMANDS {
        let output = helios(&[subcommand, "--help"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{subcommand}");
        let (_, examples) = text.split_once("Examples:\n  ").unwrap_or_else(|| panic!("{subcommand} has no example"));
        assert!(examples.contains(&format!("helios {subcommand} ")), "{text}");
    }
}

#[test]
fn wrong_usage_is_64_and_help_is_0() {
    for arguments in [&["decode"][..], &["fly"], &["run", "--port", "1"], &["top", "--by", "colour"], &[]] {
        assert_eq!(failure(arguments).0, 64, "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["help", "run"]] {
        assert_eq!(failure(arguments).0, 0, "{arguments:?}");
    }
}

#[test]
fn an_unknown_column_is_answered_with_the_nearest() {
    let line = one_line(&["decode", "--columns", "src_adr", "x.pcap"], 64);
    assert_eq!(line, "helios: --columns: there is no column src_adr; did you mean src_addr?");
    let line = one_line(&["decode", "--decapsulate", "l2tp", "x.pcap"], 64);
    let kinds = "gre, ipip, vxlan, geneve, erspan, gtp, mpls";
    assert_eq!(line, format!("helios: --decapsulate: must be one of all, none, {kinds}, found l2tp"));
}

#[test]
fn a_capture_that_cannot_be_read_is_one_line() {
    let line = one_line(&["decode", "nowhere.pcap"], 1);
    assert!(line.starts_with("helios: cannot read capture nowhere.pcap: "), "{line}");
    let line = one_line(&["decode", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")], 1);
    assert!(line.contains("is no capture: expected a pcap or pcapng file"), "{line}");
}

/// An address of this host that nobody serves.
fn closed_port() -> String {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{address}")
}

#[test]
fn a_clickhouse_that_is_not_there_is_one_line() {
    let url = closed_port();
    for arguments in [&["migrate"][..], &["top", "--once"], &["check", "--connect"]] {
        let line = one_line(&[arguments, &["--clickhouse-url", &url]].concat(), 1);
        assert!(line.contains(&url), "{line}");
    }
}

#[test]
fn a_port_in_use_is_one_line_that_names_it() {
    let url = closed_port();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = one_line(&["run", "--listen", &address, "--set", "admin.listen=null", "--clickhouse-url", &url], 1);
    assert!(line.starts_with(&format!("helios: cannot listen on {address}: the port is in use")), "{line}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let admin = format!("admin.listen={address}");
    let line = one_line(&["run", "--listen", "127.0.0.1:0", "--set", &admin, "--clickhouse-url", &url], 1);
    assert!(
        line.starts_with(&format!("helios: cannot serve on {address} (admin.listen): the port is in use")),
        "{line}"
    );
}

#[test]
fn a_database_that_is_missing_is_one_line() {
    let output = Command::new(env!("CARGO_BIN_EXE_helios"))
        .args(["run", "--listen", "127.0.0.1:0", "--set", "admin.listen=null"])
        .env_clear()
        .env("GEOIP_CITY_DB", "nowhere/city.mmdb")
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("cannot read nowhere/city.mmdb"), "{stderr}");
}
