//! Configurations, right and wrong, and what `helios check` says to each: tests/data/config/NAME.yaml and
//! NAME.expected.

use std::path::Path;
use std::process::Command;

use crate::expect::{expect, root};

const CASES: &str = "tests/data/config";

/// `helios check` in the folder of the cases, with nothing in the environment.
fn check(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_helios"))
        .arg("check")
        .args(arguments)
        .current_dir(root().join(CASES))
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    // What the kernel grants differs from machine to machine.
    let stdout = text(output.stdout)
        .lines()
        .filter(|line| !line.starts_with("receive buffer"))
        .fold(String::new(), |text, line| text + line + "\n");
    format!("exit code {}\n{}{stdout}", output.status.code().unwrap(), text(output.stderr))
}

#[test]
fn every_case_is_answered_as_expected() {
    let mut cases: Vec<_> = std::fs::read_dir(root().join(CASES)).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    cases.sort();
    assert!(cases.len() >= 10, "{cases:?}");
    for case in &cases {
        let file = case.file_name().unwrap().to_str().unwrap();
        let expected = Path::new(CASES).join(file).with_extension("expected");
        expect(expected.to_str().unwrap(), &check(&["--config", file], &[]));
    }
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let printed = |arguments: &[&str], variables: &[(&str, &str)]| {
        let arguments = [&["--print", "--config", "valid.yaml"], arguments].concat();
        check(&arguments, variables)
    };
    let url = |text: &str| {
        let mut section = text.lines().skip_while(|line| *line != "clickhouse:");
        section.find_map(|line| line.trim().strip_prefix("url: ").map(str::to_owned)).unwrap()
    };
    let variables = [("CLICKHOUSE_URL", "http://named:8123"), ("HELIOS_CLICKHOUSE__URL", "http://generic:8123")];
    assert_eq!(url(&printed(&[], &[])), "http://file:8123");
    assert_eq!(url(&printed(&[], &variables[..1])), "http://named:8123");
    assert_eq!(url(&printed(&[], &variables)), "http://generic:8123");
    assert_eq!(url(&printed(&["--set", "clickhouse.url=http://set:8123"], &variables)), "http://set:8123");
    let both = ["--set", "clickhouse.url=http://set:8123", "--clickhouse-url", "http://flag:8123"];
    assert_eq!(url(&printed(&both, &variables)), "http://flag:8123");
}

#[test]
fn mistakes_outside_of_the_file_name_the_variable_and_the_flag() {
    let answer = check(
        &["--listen", "127.0.0.1", "--set", "collector.worker=2", "--set", "admin"],
        &[("HELIOS_COLLECTOR__GRO", "yes"), ("HELIOS_LOG__FORMAT", "xml"), ("HELIOS_PORT", "tcp://10.0.0.1:2055")],
    );
    assert_eq!(
        answer,
        "exit code 78\n\
         helios: --set admin: expected section.key=value\n\
         helios: HELIOS_COLLECTOR__GRO: collector.gro: expected true or false, found \"yes\"\n\
         helios: --set collector.worker: unknown key collector.worker; did you mean collector.workers?\n\
         helios: --listen: collector.listen[0]: expected an address and a port, such as 0.0.0.0:2055 \
         or [::]:2055, found \"127.0.0.1\"\n\
         helios: HELIOS_LOG__FORMAT: log.format: expected text or json, found \"xml\"\n"
    );
}

#[test]
fn a_file_that_is_not_there_is_one_line() {
    assert_eq!(
        check(&["--config", "nowhere.yaml"], &[]),
        "exit code 78\nhelios: nowhere.yaml: there is no such file; name another with --config or HELIOS_CONFIG\n"
    );
    assert_eq!(check(&[], &[("HELIOS_CONFIG", "nowhere.yaml")]), check(&["--config", "nowhere.yaml"], &[]));
}

#[test]
fn what_print_shows_is_a_configuration_with_the_same_effect() {
    let printed = check(&["--print", "--config", "valid.yaml"], &[]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("printed.yaml");
    std::fs::write(&file, printed.strip_prefix("exit code 0\n").unwrap()).unwrap();
    let again = check(&["--print", "--config", file.to_str().unwrap()], &[]);
    assert_eq!(again, printed);
}

#[test]
fn a_secret_is_never_printed() {
    let answer = check(&["--print"], &[("CLICKHOUSE_PASSWORD", "hunter2")]);
    assert!(answer.starts_with("exit code 0\n") && !answer.contains("hunter2"), "{answer}");
    let answer = check(&[], &[("HELIOS_CLICKHOUSE__PASSWORD", "hunter2")]);
    assert!(answer.starts_with("exit code 78\n") && !answer.contains("hunter2"), "{answer}");
}
