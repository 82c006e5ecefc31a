//! `helios-practice`: a network to practise on, for tests, demonstrations and runbooks.
//!
//! One description ([`description`]) drives everything: each device answers gNMI ([`gnmi`]) and SNMP ([`snmp`]) and sends flows
//! ([`flows`]) from an address of its own, NetBox ([`netbox`]) has them all, and faults are switched on and off
//! ([`control`]). [`network`] is what happens between the devices.

#![deny(unreachable_pub)]

use std::error::Error;
use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use helios_testkit::netbox::{Server as NetBox, TOKEN, World};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::json;
use tokio::net::TcpListener;

use description::{DEVICES, Description};
use flows::Exporters;
use gnmi::{Certificate, Login};
use network::{Ms, Network};

mod control;
mod description;
mod fault;
mod flows;
mod gnmi;
mod netbox;
mod network;
mod routing;
mod snmp;
mod tree;

/// Run the devices of a network on loopback: gNMI and SNMP on addresses of their own, IPFIX to a collector
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Folder for network.yaml, the certificates' authority (ca.pem) and the addresses of everything (practice.json)
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,

    /// Description of the network; without it one is made
    #[arg(long, value_name = "FILE")]
    network: Option<PathBuf>,

    /// Devices of a network that is made
    #[arg(long, value_name = "N", default_value_t = 12)]
    devices: usize,

    /// Second octet of the addresses of a network that is made, from there on one for each site
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=245))]
    base: u8,

    /// Port of gNMI
    #[arg(long, value_name = "PORT", default_value_t = gnmi::PORT)]
    gnmi_port: u16,

    /// Port of SNMP
    #[arg(long, value_name = "PORT", default_value_t = snmp::PORT)]
    snmp_port: u16,

    /// Where flows are sent
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:2055")]
    collector: SocketAddr,

    /// Where faults are switched; port 0 for any
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    control: SocketAddr,

    /// Address of blackbox_exporter, for probes that pass through here
    #[arg(long, value_name = "URL")]
    blackbox: Option<String>,

    /// User that the devices let in by gNMI
    #[arg(long, default_value = "lab")]
    user: String,

    /// Password of that user
    #[arg(long, env = "PRACTICE_PASSWORD", default_value = "lab-password")]
    password: String,

    /// Community of SNMP
    #[arg(long, env = "PRACTICE_COMMUNITY", default_value = "lab-community")]
    community: String,
}

type Failure = Box<dyn Error + Send + Sync>;

fn now() -> Ms {
    helios_common::clock::unix_ms()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(run(Args::parse())));
    if let Err(error) = result {
        let _ = writeln!(io::stderr(), "helios-practice: {error}");
        std::process::exit(1);
    }
}

async fn run(args: Args) -> Result<(), Failure> {
    fs::create_dir_all(&args.folder)?;
    let description = match &args.network {
        Some(path) => {
            Description::parse(&fs::read_to_string(path)?).map_err(|error| format!("{}: {error}", path.display()))?
        }
        None if DEVICES.contains(&args.devices) => Description::generated(args.devices, args.base),
        None => return Err(format!("--devices: from {} to {}", DEVICES.start(), DEVICES.end()).into()),
    };
    fs::write(args.folder.join("network.yaml"), description.render())?;
    let certificates = certificates(&description, &args.folder.join("ca.pem"))?;
    let inventory = netbox::Inventory::new(description.clone());
    let netbox = NetBox::start(World { objects: Some(Arc::new(inventory)), ..World::default() });
    let network = Arc::new(Network::new(description, now()));
    let login = Login { port: args.gnmi_port, user: args.user.clone(), password: args.password.clone() };
    let mut tasks = tokio::task::JoinSet::new();
    for (device, certificate) in certificates.into_iter().enumerate() {
        tasks.spawn(gnmi::serve(Arc::clone(&network), device, login.clone(), Some(certificate)));
        let agent = snmp::serve(Arc::clone(&network), device, args.snmp_port, args.community.clone());
        tasks.spawn(async move { agent.await.map_err(Failure::from) });
    }
    let listener = TcpListener::bind(args.control).await?;
    let places = json!({
        "netbox": netbox.url(), "netbox_token": TOKEN, "control": format!("http://{}", listener.local_addr()?),
        "gnmi_port": args.gnmi_port, "snmp_port": args.snmp_port,
    });
    let control = control::serve(listener, Arc::clone(&network), args.blackbox.clone());
    tasks.spawn(async move { control.await.map_err(Failure::from) });
    let mut exporters = Exporters::new(&network, args.collector)?;
    // Written whole, and last: who waits for it finds everything listening.
    let new = args.folder.join("practice.json.new");
    fs::write(&new, format!("{places:#}\n"))?;
    fs::rename(new, args.folder.join("practice.json"))?;
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    let mut exports = tokio::time::interval(flows::INTERVAL);
    loop {
        tokio::select! {
            _ = seconds.tick() => network.tick(now()),
            _ = exports.tick() => exporters.export(&network),
            ended = tasks.join_next() => {
                return match ended {
                    Some(Ok(Err(error))) => Err(error),
                    Some(Err(error)) => Err(error.into()),
                    _ => Err("a device has ended".into()),
                };
            }
            signal = stop() => return signal.map_err(Failure::from),
        }
    }
}

/// Returns when the process is to end.
async fn stop() -> io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}

/// A certificate for each device, of an authority of this run that is written to `authority`.
fn certificates(description: &Description, authority: &Path) -> Result<Vec<Certificate>, Failure> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority of a network to practise on");
    let key = KeyPair::generate()?;
    fs::write(authority, params.self_signed(&key)?.pem())?;
    let issuer = Issuer::new(params, key);
    let certificate = |device: &description::Device| -> Result<Certificate, Failure> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([device.address.to_string(), device.name.clone()])?;
        params.distinguished_name.push(DnType::CommonName, device.name.as_str());
        Ok(Certificate { certificate: params.signed_by(&key, &issuer)?.pem(), key: key.serialize_pem() })
    };
    description.devices.iter().map(certificate).collect()
}
