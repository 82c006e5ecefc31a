//! `helios-operator`: shows what runbooks would do, makes their definitions, checks audit entries.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use helios_runbooks::audit::{self, Entry};
use helios_runbooks::document::{self, Document};
use helios_runbooks::plan::Plan;
use helios_service::exit::Exit;
use serde_json::Value;

#[derive(Parser)]
#[command(name = "helios-operator", version, about = "Runbooks for network devices: custom resources of Kubernetes")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
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
        Command::Validate { file, parameters } => validate(&file, &parameters),
        Command::Crds => write(&helios_runbooks::crd::yaml()),
        Command::Audit(AuditCommand::Verify { file, executions }) => verify(&file, executions.as_deref()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report("helios-operator"),
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
