//! A spool on a small file system of its own: full, filled by another program, read-only.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use helios_testkit::Engine;

use crate::load::{Exporter, assert_balanced, assert_once, texts, with_state};
use crate::running::{Helios, free_udp_port, wait_for};

/// A tmpfs in a mount namespace, which a process of its own keeps as long as the value lives: processes come and go on it.
struct SmallDisk {
    holder: Child,
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts it on a new folder, with options of tmpfs such as `size=16k`.
    fn mount(options: &str, path: PathBuf) -> Self {
        std::fs::create_dir(&path).unwrap();
        let script = format!("mount -t tmpfs -o {options} none {} && echo mounted && exec sleep 600", path.display());
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "mounted\n", "unshare --user --mount and mount -t tmpfs have to be allowed");
        Self { holder, path }
    }

    /// Starts helios with its spool on the disk.
    fn start(&self, state: &Path, clickhouse: &str, setting: &str) -> Helios {
        let mut settings = with_state(state);
        settings.push(format!("clickhouse.spool.directory={}", self.path.display()));
        settings.push(setting.to_owned());
        let mut command = Command::new("nsenter");
        command.args(["--preserve-credentials", "--user", "--mount", "--target", &self.holder.id().to_string()]);
        let helios = Helios::start_under(command, free_udp_port(), clickhouse, &texts(&settings), &[]);
        wait_for("helios to be up", || helios.get("/healthz"));
        helios
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn wait_for_stored(helios: &Helios, rows: f64) {
    wait_for("all rows to be stored", || {
        assert_balanced(helios);
        (helios.metric("helios_pipeline_rows_stored_total")? == rows).then_some(())
    });
}

#[test]
fn a_full_disk_is_an_alarm_and_rows_go_on_through_memory() {
    let engine = Engine::start();
    let state = tempfile::tempdir().unwrap();
    // Less than a single piece.
    let disk = SmallDisk::mount("size=16k", state.path().join("small"));
    let helios = disk.start(state.path(), &engine.url(), "clickhouse.spool.min_free_bytes=0");
    let mut exporter = Exporter::new(helios.flows);
    exporter.send_rows(60_000);
    wait_for("the alarm", || (helios.metric("helios_sink_spool_failures_total")? > 0.0).then_some(()));
    wait_for_stored(&helios, 60_000.0);
    assert!(helios.log().contains("the spool fails (cannot write)"), "{}", helios.log());
    assert_once(&engine, 60_000);
}

#[test]
fn a_read_only_directory_is_an_alarm_and_rows_go_on_through_memory() {
    let engine = Engine::start();
    let state = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount("ro", state.path().join("small"));
    let helios = disk.start(state.path(), &engine.url(), "clickhouse.spool.min_free_bytes=0");
    let alarm = ["helios_sink_spool_configured", "helios_sink_spool_available"].map(|metric| helios.metric(metric));
    assert_eq!(alarm, [Some(1.0), Some(0.0)]);
    let log = helios.log();
    assert!(log.contains("the spool cannot be opened") && log.contains("Read-only file system"), "{log}");
    let mut exporter = Exporter::new(helios.flows);
    exporter.send_rows(6000);
    wait_for_stored(&helios, 6000.0);
    assert_once(&engine, 6000);
}
