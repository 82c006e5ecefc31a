//! SIGHUP: the configuration is read again, and the process goes on.

use nix::sys::signal::Signal;

use crate::running::{Helios, free_udp_port, nobody, wait_for};

#[test]
fn a_hangup_changes_the_level_of_the_log_and_names_what_takes_a_new_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("helios.yaml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("log: {level: info}\n");
    let helios = Helios::start_on(free_udp_port(), &nobody(), &[], &["--config", file.to_str().unwrap()]);
    let logged = |what: &str| wait_for(what, || helios.log().contains(what).then_some(()));
    logged("helios is receiving");

    write("log: {level: warn}\ncollector: {workers: 2, batch_rows: 4096}\n");
    helios.signal(Signal::SIGHUP);
    logged("these keys take effect at the next start");
    logged("collector.batch_rows, collector.workers");

    write("collector: {worker: 2}\n");
    helios.signal(Signal::SIGHUP);
    logged("helios.yaml:1:13: unknown key collector.worker; did you mean collector.workers?");
    logged("the configuration is wrong");

    // At the level warn the lines about the end, which are of the level info, are not written.
    assert_eq!(helios.get("/healthz").map(|(status, _)| status), Some(200));
    let (status, log) = helios.stop();
    assert!(status.success() && !log.contains("stopping"), "{log}");
}
