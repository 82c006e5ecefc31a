//! A spool on a small file system of its own: full, filled by another program, read-only.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use helios_testkit::Engine;

use crate::load::{Exporter, assert_balanced, assert_once, texts, wait_until_safe, with_state};
use crate::running::{Helios, free_udp_port, nobody, wait_for};

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

    /// The disk as this process reaches it.
    fn seen_from_here(&self) -> PathBuf {
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(self.path.strip_prefix("/").unwrap())
    }

    /// Takes all of its room with a file that is not the spool's.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.seen_from_here().join("foreign")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    fn make_room(&self) {
        std::fs::remove_file(self.seen_from_here().join("foreign")).unwrap();
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

fn wait_for_available(helios: &Helios, available: f64) {
    wait_for("the state of the spool", || (helios.metric("helios_sink_spool_available")? == available).then_some(()));
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

/// The blocks of an outage are on the disk when another program fills it. They stay, new ones wait in memory and are
/// written when there is room, and a kill -9 on the full disk costs no row that was written.
#[test]
fn a_disk_that_another_program_fills_costs_no_block_and_a_crash_on_it_no_row() {
    const MIN_FREE: &str = "clickhouse.spool.min_free_bytes=16777216";
    let engine = Engine::start();
    let state = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount("size=48m", state.path().join("small"));

    let helios = disk.start(state.path(), &nobody(), MIN_FREE);
    let mut exporter = Exporter::new(helios.flows);
    exporter.send_rows(60_000);
    wait_until_safe(&helios, 60_000);
    let files = helios.metric("helios_sink_spool_files").unwrap();
    assert!(files > 0.0);

    disk.fill();
    wait_for_available(&helios, 0.0);
    exporter.send_rows(30_000);
    wait_for("the rows to be decoded", || {
        (helios.metric("helios_pipeline_rows_decoded_total")? == 90_000.0).then_some(())
    });
    assert!(
        helios.metric("helios_sink_spool_files").unwrap() >= files,
        "a file that is safe was removed: {}",
        helios.log()
    );
    assert_eq!(helios.metric("helios_pipeline_rows_dropped_total").unwrap_or(0.0), 0.0);
    assert!(helios.log().contains("other programs use the rest"), "{}", helios.log());
    let problems = helios.json("/api/v1/pipeline")["problems"].to_string();
    assert!(problems.contains("clickhouse.spool.min_free_bytes"), "{problems}");

    disk.make_room();
    wait_for_available(&helios, 1.0);
    wait_until_safe(&helios, 90_000);
    disk.fill();
    helios.kill();

    let helios = disk.start(state.path(), &engine.url(), MIN_FREE);
    wait_for_available(&helios, 0.0);
    let sent = exporter.sent;
    exporter = Exporter::new(helios.flows);
    exporter.sent = sent;
    exporter.send_rows(3000);
    wait_for("rows to be stored through memory", || {
        (helios.metric("helios_pipeline_rows_stored_total")? >= 3000.0).then_some(())
    });
    assert!(helios.log().contains("the spool takes no blocks"), "{}", helios.log());
    // The block that was being filled when the process died takes some octets to be closed.
    disk.make_room();
    wait_for_stored(&helios, 93_000.0);
    assert_once(&engine, 93_000);
    wait_for_available(&helios, 1.0);
}
