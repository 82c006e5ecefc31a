//! What the types of the sections cannot say: each section's own checks.

use super::{Config, columns};
use helios_service::config::Problem;

/// Every value that cannot work.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    if let Err(error) = config.collector.validate() {
        found.push(Problem::new(format!("collector.{}", error.key), error.problem));
    }
    if let Err(error) = config.enricher.validate() {
        found.push(Problem::new(format!("enricher.{}", error.key), error.problem));
    }
    for error in config.netbox.validate().err().into_iter().flatten() {
        found.push(Problem::new(format!("netbox.{}", error.key), error.problem));
    }
    for error in config.targets.validate().err().into_iter().flatten() {
        found.push(Problem::new(format!("targets.{}", error.key), error.problem));
    }
    for error in config.clickhouse.validate().err().into_iter().flatten() {
        found.push(Problem::new(format!("clickhouse.{}", error.key), error.problem));
    }
    for (at, error) in columns::check(&config.columns) {
        found.push(Problem::new(format!("columns[{at}]"), error));
    }
    found.extend(Problem::range("pipeline.queue_batches", config.pipeline.queue_batches as u64, 2, 4096));
    found.extend(Problem::range("pipeline.shutdown_timeout_ms", config.pipeline.shutdown_timeout_ms, 100, 3_600_000));
    found.extend(Problem::range("admin.max_exporters", config.admin.max_exporters as u64, 0, 100_000));
    found.extend(config.log.problem());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_is_checked() {
        let mut config = Config::default();
        config.collector.workers = 0;
        config.pipeline.shutdown_timeout_ms = 1;
        config.log.level = "a=b=c".to_owned();
        let found: Vec<String> =
            problems(&config).iter().map(|found| format!("{}: {}", found.key, found.what)).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[0], "collector.workers: must be from 1 to 256, found 0");
        assert_eq!(found[1], "pipeline.shutdown_timeout_ms: must be from 100 to 3600000, found 1");
        assert!(found[2].starts_with("log.level: \"a=b=c\" is not a log level"), "{}", found[2]);
    }
}
