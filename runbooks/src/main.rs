//! `helios-operator`: runs runbooks in a cluster, shows what they would do, makes their definitions, checks audit entries.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use helios_runbooks::audit::{self, Entry};
use helios_runbooks::document::{self, Document};
use helios_runbooks::kubernetes::{self, Devices, Options};
use helios_runbooks::plan::Plan;
use helios_runbooks::resource::Phase;
use helios_runbooks::world::{DeviceIdentity, ServersConfig};
use helios_service::exit::Exit;
use helios_service::log::{self, LogConfig, LogFormat};
use serde_json::Value;

/// Where pods have channels of notify, and keys for servers.
const NOTIFY_DIR: &str = "/etc/helios/notify";
const SECRETS_DIR: &str = "/etc/helios/secrets";

#[derive(Parser)]
#[command(name = "helios-operator", version, about = "Runbooks for network devices: custom resources of Kubernetes")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator: check executions, wait for approvals, take the devices' locks, start one Job for each execution
    Run(RunArguments),
    /// Do the steps of one execution: the process of a Job that the operator made
    Execute(ExecuteArguments),
    /// Show what the runbooks of a file would do: every request in its order, with every parameter in its place
    Validate {
        /// YAML with objects of kind Runbook and RunbookExecution; `-` is standard input
        file: PathBuf,
        /// Value of a parameter, for runbooks of which the file has no execution
        #[arg(long = "parameter", value_name = "NAME=VALUE")]
        parameters: Vec<String>,
    },
    /// Write the CustomResourceDefinitions as YAML
    Crds,
    /// Work with audit entries
    #[command(subcommand)]
    Audit(AuditCommand),
}

#[derive(clap::Args)]
struct RunArguments {
    /// Namespace of runbooks, executions, Jobs and locks
    #[arg(long, env = "POD_NAMESPACE")]
    namespace: String,
    /// Name of this process, for the Lease of the one that leads
    #[arg(long, env = "POD_NAME")]
    identity: String,
    /// Image of the executors' pods: the one of this process
    #[arg(long, env = "EXECUTOR_IMAGE")]
    executor_image: String,
    /// ServiceAccount of the executors' pods
    #[arg(long, env = "EXECUTOR_ACCOUNT", default_value = "helios-executor")]
    executor_account: String,
    /// Secret with username, password and ca.crt of devices, in the same namespace
    #[arg(long, env = "DEVICE_SECRET", default_value = "helios-runbook-devices")]
    device_secret: String,
    /// ConfigMaps with devices as `helios targets` writes them for gnmic (key gnmic.yaml), in the same namespace
    #[arg(long, env = "DEVICE_MAPS", value_delimiter = ',', default_value = "helios-targets-gnmic-0")]
    device_maps: Vec<String>,
    /// How a device proves that it is the one that a step names: `hostname`, its certificate and the name that it has in
    /// /system/state/hostname; or `certificate`, the certificate alone
    #[arg(long, env = "DEVICE_IDENTITY", default_value = "hostname")]
    device_identity: DeviceIdentity,
    /// Secret with clickhouse-user and clickhouse-password, and what steps name by a key, in the same namespace
    #[arg(long, env = "SERVERS_SECRET", default_value = "helios-runbook-secrets")]
    servers_secret: String,
    /// Servers of steps as JSON: prometheus_url, clickhouse_url, clickhouse_database, ca_file, http_hosts, script_images
    #[arg(long, env = "HELIOS_SERVERS", default_value = "{}")]
    servers: String,
    /// Where metrics, probes and Alertmanager's webhook are served
    #[arg(long, env = "LISTEN", default_value = "[::]:8080")]
    listen: SocketAddr,
    /// File with the bearer token of Alertmanager, for POST /alerts; without one no alert starts a runbook
    #[arg(long, env = "ALERT_TOKEN_FILE")]
    alert_token_file: Option<PathBuf>,
}

#[derive(clap::Args)]
struct ExecuteArguments {
    #[arg(long, env = "POD_NAMESPACE")]
    namespace: String,
    /// Name of the execution
    #[arg(long)]
    name: String,
    /// Its metadata.uid
    #[arg(long)]
    uid: String,
    /// Name of the Job, as the execution's status has it
    #[arg(long)]
    job: String,
    /// Folder with the lists of devices
    #[arg(long, env = "HELIOS_DEVICES_DIR", default_value = "/etc/helios/devices")]
    devices: PathBuf,
    /// Folder with username, password and ca.crt of devices
    #[arg(long, env = "HELIOS_CREDENTIALS_DIR", default_value = "/etc/helios/credentials")]
    credentials: PathBuf,
    /// How a device proves that it is the one that a step names: `hostname`, its certificate and the name that it has in
    /// /system/state/hostname; or `certificate`, the certificate alone
    #[arg(long, env = "DEVICE_IDENTITY", default_value = "hostname")]
    device_identity: DeviceIdentity,
    /// Servers of steps as JSON, as the operator has them
    #[arg(long, env = "HELIOS_SERVERS", default_value = "{}")]
    servers: String,
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Check that no entry was changed, added or taken out
    Verify {
        /// Lines of standard output of operator and executors, or rows of runbook_audit as JSONEachRow; `-` is standard input
        file: PathBuf,
        /// Executions as `kubectl get rbx -A -o json` writes them: finds entries that are missing at the end
        #[arg(long, value_name = "FILE")]
        executions: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(arguments) => run(arguments),
        Command::Execute(arguments) => execute(arguments),
        Command::Validate { file, parameters } => validate(&file, &parameters),
        Command::Crds => write(&helios_runbooks::crd::yaml()),
        Command::Audit(AuditCommand::Verify { file, executions }) => verify(&file, executions.as_deref()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report("helios-operator"),
    }
}

fn servers(text: &str) -> Result<ServersConfig, Exit> {
    let mut config: ServersConfig = serde_json::from_str(text)
        .map_err(|error| Exit::configuration([format!("--servers (HELIOS_SERVERS): {error}")]))?;
    for (folder, default) in [(&mut config.notify_dir, NOTIFY_DIR), (&mut config.secrets_dir, SECRETS_DIR)] {
        if folder.as_os_str().is_empty() {
            *folder = default.into();
        }
    }
    Ok(config)
}

/// A runtime, and the log on standard error: standard output has the audit entries alone.
fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    log::install(&LogConfig { format: LogFormat::Json, ..LogConfig::default() })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| Exit::run_time(format_args!("cannot start threads: {error}")))
}

fn run(arguments: RunArguments) -> Result<(), Exit> {
    let config = servers(&arguments.servers)?;
    let options = Options {
        namespace: arguments.namespace,
        identity: arguments.identity,
        executor_image: arguments.executor_image,
        executor_account: arguments.executor_account,
        device_secret: arguments.device_secret,
        servers_secret: arguments.servers_secret,
        device_maps: arguments.device_maps,
        device_identity: arguments.device_identity,
        servers: arguments.servers,
        listen: arguments.listen,
        alert_token: arguments.alert_token_file,
    };
    runtime()?.block_on(kubernetes::run(options, config)).map_err(Exit::run_time)
}

/// Ends with 0 where the phase is Succeeded, so that the Job says the same as the execution.
fn execute(arguments: ExecuteArguments) -> Result<(), Exit> {
    let config = servers(&arguments.servers)?;
    let ExecuteArguments { namespace, name, uid, job, .. } = arguments;
    let devices =
        Devices { lists: arguments.devices, credentials: arguments.credentials, identity: arguments.device_identity };
    let executed = kubernetes::execute(&namespace, &name, &uid, &job, &devices, config);
    match runtime()?.block_on(executed).map_err(Exit::run_time)? {
        Phase::Succeeded => Ok(()),
        phase => Err(Exit::run_time(format_args!("execution {namespace}/{name}: {}", phase.name()))),
    }
}

fn write(text: &str) -> Result<(), Exit> {
    io::stdout().lock().write_all(text.as_bytes()).map_err(|error| Exit::output(&error))
}

fn read(path: &Path) -> Result<String, Exit> {
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => io::stdin().lock().read_to_string(&mut text).map(|_| ()),
        _ => std::fs::read_to_string(path).map(|found| text = found),
    };
    read.map_err(|error| Exit::run_time(format_args!("cannot read {}: {error}", path.display())))?;
    Ok(text)
}

fn validate(file: &Path, assignments: &[String]) -> Result<(), Exit> {
    let mut given = BTreeMap::new();
    for assignment in assignments {
        let (name, value) = assignment
            .split_once('=')
            .ok_or_else(|| Exit::usage(format_args!("--parameter {assignment}: write NAME=VALUE")))?;
        given.insert(name.to_owned(), Value::from(value));
    }
    let documents =
        document::read(&read(file)?).map_err(|error| Exit::run_time(format_args!("{}: {error}", file.display())))?;
    let executions = |name: &str| {
        let of = documents.iter().filter_map(|document| match document {
            Document::Execution(execution, spec) if spec.runbook_ref.name == name => {
                Some((execution.clone(), spec.parameters.clone()))
            }
            _ => None,
        });
        of.collect::<Vec<_>>()
    };
    let (mut text, mut wrong) = (String::new(), Vec::new());
    for document in &documents {
        let Document::Runbook(name, spec) = document else { continue };
        let mut runs = executions(name);
        if runs.is_empty() {
            runs.push((String::new(), given.clone()));
        }
        for (execution, values) in runs {
            let title = if execution.is_empty() { name.clone() } else { format!("{name}, execution {execution}") };
            match Plan::new(spec, &values) {
                Ok(plan) => {
                    let devices: Vec<&str> = plan.devices.iter().map(String::as_str).collect();
                    let approval = if spec.requires_approval { "after approval" } else { "at once" };
                    text += &format!("runbook {title}: {approval}, devices: {}\n", devices.join(", "));
                    text += &(plan.lines().join("\n") + "\n");
                }
                Err(mistakes) => {
                    wrong.extend(mistakes.into_iter().map(|mistake| format!("runbook {title}: {mistake}")))
                }
            }
        }
    }
    write(&text)?;
    if wrong.is_empty() { Ok(()) } else { Err(Exit::configuration(wrong)) }
}

fn verify(file: &Path, executions: Option<&Path>) -> Result<(), Exit> {
    let mut entries = Vec::new();
    for (number, line) in read(file)?.lines().enumerate() {
        // Log lines stand between the entries of standard output.
        let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
        let Some(entry) = value.get("audit").or_else(|| value.get("hash").map(|_| &value)) else { continue };
        let entry: Entry = serde_json::from_value(entry.clone()).map_err(|error| {
            Exit::run_time(format_args!("{}:{}: no audit entry: {error}", file.display(), number + 1))
        })?;
        entries.push(entry);
    }
    let ends = match executions {
        Some(path) => document::audit_ends(&read(path)?)
            .map_err(|error| Exit::run_time(format_args!("{}: {error}", path.display())))?,
        None => BTreeMap::new(),
    };
    let verified = audit::verify(entries, &ends);
    write(&format!("{} entries, {} executions with a whole chain\n", verified.entries, verified.executions))?;
    match verified.faults.as_slice() {
        [] => Ok(()),
        faults => Err(Exit::run_time(faults.join("\n"))),
    }
}
