//! What rules make of names and descriptions.

use super::*;

fn rules(json: &str) -> Result<Rules, RuleError> {
    Rules::compile(&serde_json::from_str(json).unwrap())
}

#[test]
fn captures_of_any_pattern_become_values() {
    let names = Names::new();
    let rules = rules(
        r#"{"interfaces": [{
            "match_exporter": "^(?<site>[a-z]{3})-", "match_description": "(?i)^transit: (?<provider>\\w+) (\\S+)",
            "provider": "${provider}@$site", "connectivity": "transit", "role": "$2", "boundary": "external"
        }]}"#,
    )
    .unwrap();
    let class = rules.interface("fra-edge1", "et-0/0/1", "Transit: Arelion IC-123", &names);
    let view = names.read();
    assert_eq!(view.get(class.provider.value), "Arelion@fra");
    assert_eq!((view.get(class.connectivity.value), view.get(class.role.value)), ("transit", "IC-123"));
    assert_eq!(class.boundary, Set { value: 1, rule: Some(0) });
    drop(view);
    assert_eq!(rules.interface("fra-edge1", "et-0/0/1", "core", &names), InterfaceClass::default());
    assert_eq!(rules.interface("edge1", "et-0/0/1", "Transit: Arelion IC", &names), InterfaceClass::default());
}

#[test]
fn the_first_rule_that_sets_a_value_counts_and_later_ones_add() {
    let names = Names::new();
    let rules = rules(
        r#"{"exporters": [
            {"match_name": "glob:*-edge?", "group": "edge", "site": "$1"},
            {"match_name": "^fra", "group": "other", "region": "de"}
        ]}"#,
    )
    .unwrap();
    let class = rules.exporter("fra-edge1", &names);
    let view = names.read();
    let text = |set: Set<NameId>| (view.get(set.value).to_owned(), set.rule);
    assert_eq!(text(class.group), ("edge".into(), Some(0)));
    assert_eq!(text(class.site), ("fra".into(), Some(0)));
    assert_eq!(text(class.region), ("de".into(), Some(1)));
    assert_eq!(class.role.rule, None);
}

#[test]
fn a_rule_without_patterns_holds_for_all() {
    let rules = rules(r#"{"interfaces": [{"boundary": "internal"}]}"#).unwrap();
    assert_eq!(rules.interface("", "", "", &Names::new()).boundary.value, 2);
}

#[test]
fn what_cannot_work_is_said_with_its_place() {
    let problem = |json| rules(json).map(|_| ()).unwrap_err();
    let broken = problem(r#"{"exporters": [{"group": "a"}, {"match_name": "*edge", "group": "b"}]}"#);
    assert_eq!((broken.list, broken.at), ("exporters", 1));
    assert!(broken.problem.contains("for a glob write `glob:*edge`"), "{broken}");
    assert!(problem(r#"{"exporters": [{"match_name": "a"}]}"#).problem.contains("sets nothing"));
    let unknown = problem(r#"{"interfaces": [{"match_name": "(a)", "role": "$2"}]}"#);
    assert!(unknown.problem.contains("uses $2"), "{unknown}");
    let huge = problem(r#"{"interfaces": [{"match_name": "(?:a{1000}){1000}", "role": "x"}]}"#);
    assert_eq!(huge.list, "interfaces");
}

#[test]
fn a_dollar_is_written_twice_and_braces_end_a_name() {
    let expanded = |value: &str| expand(value, |name| (name == "1").then_some("one"));
    assert_eq!(expanded("$$5 ${1}st $1 $other."), "$5 onest one .");
}
