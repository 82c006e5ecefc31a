//! `helios targets`: from NetBox's devices to the files that gnmic, snmp_exporter and blackbox_exporter read.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use helios_netbox::{Purpose, read_once};
use helios_targets::difference::{Difference, render_left_out};
use helios_targets::{Device, Documents, Plan, files, guard, netbox, statics};

use super::{ConfigArgs, ListenArgs};
use crate::config::Config;
use crate::explain;
use helios_service::exit::Exit;

/// Make the targets of gnmic, snmp_exporter and blackbox_exporter from NetBox
///
/// Devices with the custom field helios_monitor, one of targets.statuses and a primary address become targets, as the first
/// matching profile of targets.profiles says; targets.static_file adds devices that NetBox does not know. Writes gnmic.yaml,
/// snmp.json, icmp.json and tcp.json, each replaced whole and only when it changes. Run it every few minutes: a NetBox that
/// does not answer, or that has lost more devices than targets.max_loss allows, changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  helios targets --dry-run --out /etc/helios/targets           what would change, device by device, and who is left out
  helios targets --out /etc/helios/targets
  NETBOX_API_URL=https://netbox.example NETBOX_API_TOKEN=... helios targets --out targets")]
pub struct Args {
    /// Directory of the files [key: targets.directory]
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,

    /// Print what would change, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// Write a plan that lost more targets than targets.max_loss allows, once
    #[arg(long)]
    allow_loss: bool,

    #[command(flatten)]
    config: ConfigArgs,
}

/// # Errors
/// 78 for a configuration without devices or directory, 1 when NetBox cannot be read, the plan lost too much, or a file
/// cannot be written. Nothing is changed then.
pub fn run(args: &Args) -> Result<(), Exit> {
    let config = args.config.load(&ListenArgs::default())?;
    let directory = args.out.as_ref().or(config.targets.directory.as_ref());
    let directory = directory.ok_or_else(|| {
        Exit::configuration(["say where the files are: --out DIRECTORY, or targets.directory in the configuration"])
    })?;
    let plan = Plan::new(devices(&config)?, &config.targets);
    let planned = Documents::of(&plan);
    let published = files::read(directory).map_err(Exit::run_time)?;
    let difference = Difference::new(&published, &planned, &plan);
    let mut text = difference.render();
    text.push_str(&render_left_out(&plan));
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "{}, {} left out", difference.summary(), plan.left_out.len());
    if !args.allow_loss
        && let Err(refused) = guard::check(&published, &planned, config.targets.max_loss)
    {
        print(&text)?;
        let lines: Vec<String> = refused.iter().map(ToString::to_string).collect();
        return Err(Exit::run_time(lines.join("\nhelios: ")));
    }
    if !args.dry_run {
        match files::write(directory, &planned).map_err(Exit::run_time)?.as_slice() {
            [] => text.push_str("nothing to write\n"),
            written => {
                let _ = writeln!(text, "wrote {} in {}", written.join(", "), directory.display());
            }
        }
    }
    print(&text)
}

/// Devices of the file and of NetBox.
fn devices(config: &Config) -> Result<Vec<Device>, Exit> {
    let mut devices = match &config.targets.static_file {
        Some(file) => statics::read(file).map_err(|error| Exit::configuration([error]))?,
        None => Vec::new(),
    };
    if config.netbox.url.is_some() {
        let runtime = explain::runtime().map_err(|error| Exit::run_time(format_args!("cannot start: {error}")))?;
        let snapshot = runtime
            .block_on(read_once(&config.netbox, Purpose::Targets))
            .map_err(|error| Exit::run_time(format_args!("{error}; the targets are unchanged")))?;
        devices.extend(netbox::devices(&snapshot, &config.targets));
    } else if config.targets.static_file.is_none() {
        let line = "there is nobody to ask for devices: set NETBOX_API_URL or netbox.url, or targets.static_file";
        return Err(Exit::configuration([line]));
    }
    Ok(devices)
}

fn print(text: &str) -> Result<(), Exit> {
    io::stdout().lock().write_all(text.as_bytes()).map_err(|error| Exit::output(&error))
}
