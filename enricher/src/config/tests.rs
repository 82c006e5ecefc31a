//! What the section takes and refuses.

use super::*;

fn parse(json: &str) -> Result<EnricherConfig, serde_json::Error> {
    serde_json::from_str(json)
}

#[test]
fn nothing_is_configured_by_default_and_that_is_valid() {
    let config = parse("{}").unwrap();
    assert_eq!(config, EnricherConfig::default());
    assert_eq!((config.geoip.city.as_ref(), config.validate()), (None, Ok(())));
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    let error = parse(r#"{"geoip": {"town": "x.mmdb"}}"#).unwrap_err().to_string();
    assert!(error.contains("`town`") && error.contains("`city`"), "{error}");
}

#[test]
fn an_interval_is_long_enough_or_never() {
    let with = |json: &str| parse(json).unwrap();
    assert_eq!(
        with(r#"{"reload_interval_ms": 3}"#).validate().unwrap_err().to_string(),
        "enricher.reload_interval_ms: must be 0 (never) or from 10 to 86400000, found 3"
    );
    let never = with(r#"{"reload_interval_ms": 0}"#);
    assert_eq!((never.validate(), never.reload_interval()), (Ok(()), None));
}

#[test]
fn sources_that_cannot_work_are_refused_with_their_key() {
    let error = |json: &str| parse(json).unwrap().validate().unwrap_err().to_string();
    assert!(error(r#"{"as_order": ["flow", "geoip", "flow-except-private"]}"#).starts_with("enricher.as_order: "));
    let list = error(r#"{"networks": {"http": [{"url": "ftp://a"}]}}"#);
    assert!(list.contains("networks.http: must begin with http:// or https://, found `ftp://a`"), "{list}");
    assert!(
        error(r#"{"interfaces": {"prometheus": {"refresh_interval_ms": 0}}}"#)
            .contains("prometheus.refresh_interval_ms")
    );
    let rule = error(r#"{"rules": {"interfaces": [{"role": "a"}, {"match_name": "(", "role": "b"}]}}"#);
    assert!(rule.starts_with("enricher.rules.interfaces: rule 2: match_name: `(`"), "{rule}");
}

#[test]
fn more_lists_than_can_be_told_apart_are_refused() {
    let lists = |n: usize| parse(&serde_json::json!({"networks": {"files": vec!["a.csv"; n]}}).to_string()).unwrap();
    assert_eq!(lists(100).validate(), Ok(()));
    let error = lists(101).validate().unwrap_err().to_string();
    assert!(error.contains("100 lists at most") && error.contains("found 101: join some"), "{error}");
}
