//! `helios targets`: from NetBox's devices to the files or ConfigMaps that gnmic, snmp_exporter and blackbox_exporter read.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use helios_netbox::{Purpose, read_once};
use helios_targets::difference::{Difference, render_advice, render_left_out};
use helios_targets::kubernetes::{self, Access, ConfigMaps, Published};
use helios_targets::{Device, Documents, Plan, files, guard, netbox, statics};

use super::{ConfigArgs, ListenArgs};
use crate::config::Config;
use helios_service::exit::{Exit, print};

/// Make the targets of gnmic, snmp_exporter and blackbox_exporter from NetBox
///
/// Devices with the custom field helios_monitor, one of targets.statuses and a primary address become targets, as the first
/// matching profile of targets.profiles says; targets.static_file adds devices that NetBox does not know. Writes gnmic.yaml,
/// snmp.json, icmp.json and tcp.json, each replaced whole and only when it changes; with --kubernetes the same texts as
/// ConfigMaps helios-targets-gnmic-0, helios-targets-snmp-0 and so on, by server-side apply. Run it every few minutes: a
/// NetBox that does not answer, or that has lost more devices than targets.max_loss allows, changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  helios targets --dry-run --out /etc/helios/targets           what would change, device by device, and who is left out
  helios targets --out /etc/helios/targets
  NETBOX_API_URL=https://netbox.example NETBOX_API_TOKEN=... helios targets --out targets
  TARGET_NAMESPACE=helios-collection helios targets --kubernetes        in a pod, or with KUBECONFIG")]
pub struct Args {
    /// Directory of the files [key: targets.directory]
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "kubernetes")]
    out: Option<PathBuf>,

    /// Write ConfigMaps instead of files: as the pod's service account, or as KUBECONFIG says [default where TARGET_NAMESPACE is
    /// set and no directory is]
    #[arg(long)]
    kubernetes: bool,

    /// Namespace of the ConfigMaps [default: that of the pod, or of the kubeconfig's context]
    #[arg(long, value_name = "NAME", env = "TARGET_NAMESPACE")]
    namespace: Option<String>,

    /// Address of the Kubernetes API, such as that of `kubectl proxy`, asked without a token
    #[arg(long, value_name = "URL", requires = "kubernetes")]
    kube_api: Option<String>,

    /// Print what would change, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// Write the plan this time even if it lost more targets than targets.max_loss allows
    #[arg(long)]
    allow_loss: bool,

    #[command(flatten)]
    config: ConfigArgs,
}

/// Where targets are published, as it was found.
enum Place<'a> {
    Files { directory: &'a Path, published: Documents },
    ConfigMaps { maps: Box<ConfigMaps>, namespace: String, published: Published },
}

/// # Errors
/// 78 for a configuration without devices or a place for the targets, 1 when NetBox cannot be read, the plan lost too
/// much, or something cannot be written. Nothing is changed then, except by a Kubernetes API that takes only some parts.
pub fn run(args: &Args) -> Result<(), Exit> {
    let config = args.config.load(&ListenArgs::default())?;
    let place = args.place(&config)?;
    let plan = Plan::new(devices(&config)?, &config.targets);
    let planned = Documents::of(&plan);
    let place = place.read()?;
    let difference = Difference::new(place.published(), &planned, &plan);
    let mut text = difference.render();
    text.push_str(&render_left_out(&plan));
    text.push_str(&render_advice(&plan));
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "{}, {} left out", difference.summary(), plan.left_out.len());
    if !args.allow_loss
        && let Err(refused) = guard::check(place.published(), &planned, config.targets.max_loss)
    {
        print(&text)?;
        let lines: Vec<String> = refused.iter().map(ToString::to_string).collect();
        return Err(Exit::run_time(lines.join("\nhelios: ")));
    }
    if !args.dry_run {
        let (written, failed) = place.write(&planned, config.targets.gnmic_parts);
        match written.as_slice() {
            [] => text.push_str("nothing written\n"),
            written => {
                let _ = writeln!(text, "wrote {} in {}", written.join(", "), place.name());
            }
        }
        print(&text)?;
        return failed;
    }
    print(&text)
}

impl Args {
    /// The place, which is not read yet: mistakes on the command line are reported before any server is asked.
    fn place<'a>(&'a self, config: &'a Config) -> Result<Place<'a>, Exit> {
        let directory = self.out.as_ref().or(config.targets.directory.as_ref());
        if self.kubernetes || (directory.is_none() && self.namespace.is_some()) {
            let access = Access::find(self.kube_api.as_deref()).map_err(|error| Exit::configuration([error]))?;
            let namespace = self.namespace.clone().or_else(|| access.namespace.clone()).ok_or_else(|| {
                Exit::configuration(["no namespace for the ConfigMaps: set TARGET_NAMESPACE or --namespace NAME"])
            })?;
            let maps = Box::new(ConfigMaps::new(access, namespace.clone()).map_err(Exit::run_time)?);
            return Ok(Place::ConfigMaps { maps, namespace, published: Published::default() });
        }
        let directory = directory.ok_or_else(|| {
            Exit::configuration([
                "no place for the targets: set --out DIRECTORY or targets.directory for files, or --kubernetes for ConfigMaps",
            ])
        })?;
        Ok(Place::Files { directory, published: Documents::default() })
    }
}

impl Place<'_> {
    /// Reads what is published.
    fn read(self) -> Result<Self, Exit> {
        match self {
            Self::Files { directory, .. } => {
                Ok(Self::Files { directory, published: files::read(directory).map_err(Exit::run_time)? })
            }
            Self::ConfigMaps { maps, namespace, .. } => {
                let published = block_on(maps.read())?.map_err(Exit::run_time)?;
                Ok(Self::ConfigMaps { maps, namespace, published })
            }
        }
    }

    fn published(&self) -> &Documents {
        match self {
            Self::Files { published, .. } => published,
            Self::ConfigMaps { published, .. } => &published.documents,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Files { directory, .. } => directory.display().to_string(),
            Self::ConfigMaps { namespace, .. } => format!("namespace {namespace}"),
        }
    }

    /// Writes what changed; the names of what was written, and how it ended.
    fn write(&self, planned: &Documents, gnmic_parts: u32) -> (Vec<String>, Result<(), Exit>) {
        match self {
            Self::Files { directory, .. } => match files::write(directory, planned) {
                Ok(written) => (written, Ok(())),
                Err(error) => (Vec::new(), Err(Exit::run_time(error))),
            },
            Self::ConfigMaps { maps, published, .. } => {
                let parts = match kubernetes::changes(published, planned, gnmic_parts) {
                    Ok(parts) => parts,
                    Err(error) => return (Vec::new(), Err(Exit::run_time(error))),
                };
                let mut written = Vec::new();
                for part in &parts {
                    if let Err(error) = block_on(maps.apply(part)).and_then(|applied| applied.map_err(Exit::run_time)) {
                        return (written, Err(error));
                    }
                    written.push(part.name());
                }
                (written, Ok(()))
            }
        }
    }
}

fn block_on<T>(request: impl Future<Output = T>) -> Result<T, Exit> {
    helios_web::block_on(request).map_err(|error| Exit::run_time(format_args!("cannot start: {error}")))
}

/// Devices of the file and of NetBox.
fn devices(config: &Config) -> Result<Vec<Device>, Exit> {
    let mut devices = match &config.targets.static_file {
        Some(file) => statics::read(file).map_err(|error| Exit::configuration([error]))?,
        None => Vec::new(),
    };
    if config.netbox.url.is_some() {
        let runtime = super::runtime()?;
        let snapshot = runtime
            .block_on(read_once(&config.netbox, Purpose::Targets))
            .map_err(|error| Exit::run_time(format_args!("{error}; the targets are unchanged")))?;
        devices.extend(netbox::devices(&snapshot, &config.targets));
    } else if config.targets.static_file.is_none() {
        let line = "no source of devices: set NETBOX_API_URL, netbox.url or targets.static_file";
        return Err(Exit::configuration([line]));
    }
    Ok(devices)
}
