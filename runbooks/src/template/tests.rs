use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::resource::{Parameter, ParameterType};

fn parameters(values: &[(&str, Value)]) -> Parameters {
    let declared: Vec<Parameter> = values
        .iter()
        .map(|(name, value)| Parameter {
            name: (*name).to_owned(),
            kind: match value {
                Value::Number(_) => ParameterType::Integer,
                Value::Bool(_) => ParameterType::Boolean,
                _ => ParameterType::String,
            },
            ..Parameter::default()
        })
        .collect();
    let given: BTreeMap<String, Value> =
        values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Parameters::check(&declared, &given).unwrap()
}

const INTERFACE: &str = "/interfaces/interface[name={{.x}}]/config/enabled";

#[test]
fn the_example_of_the_reference_is_expanded() {
    let path = path(INTERFACE, &parameters(&[("x", json!("Ethernet1"))])).unwrap();
    assert_eq!(path.to_string(), "/interfaces/interface[name=Ethernet1]/config/enabled");
    assert_eq!(json(&json!("false"), &Parameters::default()).unwrap(), json!(false));
}

#[test]
fn a_value_that_looks_like_a_path_stays_one_key() {
    let evil = "a]/config/enabled[x=y";
    let path = path(INTERFACE, &parameters(&[("x", json!(evil))])).unwrap();
    assert_eq!(path.elem.len(), 4);
    assert_eq!(path.elem[1].key["name"], evil);
    assert_eq!(path.to_string().parse::<Path>().unwrap(), path);
}

#[test]
fn a_key_is_neither_empty_nor_a_wildcard_nor_two_lines() {
    for (value, why) in [("", "empty"), ("*", "wildcard"), ("a\nb", "control"), ("a\0", "control")] {
        let error = path(INTERFACE, &parameters(&[("x", json!(value))])).unwrap_err();
        assert!(error.contains(why), "{value:?}: {error}");
    }
}

#[test]
fn a_template_cannot_name_an_element() {
    let values = parameters(&[("x", json!("interfaces"))]);
    for source in ["/{{.x}}/interface", "/a[{{.x}}=1]", "{{.x}}:/a"] {
        assert!(path(source, &values).unwrap_err().contains("value of a key"), "{source}");
    }
}

#[test]
fn only_names_of_parameters_are_templates() {
    for source in ["{{x}}", "{{ .x | upper }}", "{{.x", "{{}}", "{{.}}", "{{.a.b}}", "{{if .x}}"] {
        assert!(plain(source, &parameters(&[("x", json!("1"))])).unwrap_err().contains("{{.name}}"), "{source}");
    }
    assert_eq!(plain("{{ .x }}!", &parameters(&[("x", json!("1"))])).unwrap(), "1!");
    assert!(plain("{{.y}}", &Parameters::default()).unwrap_err().contains("`y`"));
}

#[test]
fn a_value_is_expanded_once() {
    let values = parameters(&[("x", json!("{{.y}}")), ("y", json!("secret"))]);
    assert_eq!(plain("{{.x}}", &values).unwrap(), "{{.y}}");
    assert_eq!(json(&json!("{{.x}}"), &values).unwrap(), json!("{{.y}}"));
}

#[test]
fn a_value_in_json_stays_a_value() {
    let values =
        parameters(&[("s", json!("x\", \"enabled\": false, \"y\": \"\n")), ("n", json!(9000)), ("b", json!(true))]);
    let source = json!("{\"description\": \"to {{.s}}\", \"mtu\": \"{{.n}}\", \"up\": \"{{.b}}\"}");
    let expected = json!({"description": "to x\", \"enabled\": false, \"y\": \"\n", "mtu": 9000, "up": true});
    assert_eq!(json(&source, &values).unwrap(), expected);
    assert!(json(&json!("{\"mtu\": {{.n}}}"), &values).unwrap_err().contains("within quotes"));
    // A parameter of type string stays a string, also where it looks like something else.
    assert_eq!(json(&json!("{{.s}}"), &parameters(&[("s", json!("true"))])).unwrap(), json!("true"));
    assert!(leaves(&json!({"{{.s}}": 1}), &values).is_err());
}

#[test]
fn a_value_in_a_query_stays_within_its_quotes() {
    let values = parameters(&[("d", json!("r1\"} or up{x=\"\\")), ("n", json!(3))]);
    let query = promql("up{device=\"{{.d}}\"} > {{.n}}", &values).unwrap();
    assert_eq!(query, "up{device=\"r1\\x22} or up{x=\\x22\\\\\"} > 3");
    for source in ["up{device={{.d}}}", "up{device=~\"{{.d}}\"}", "up{device=`{{.d}}`}", "up # \"\n > {{.d}}"] {
        assert!(promql(source, &values).is_err(), "{source}");
    }
}

#[test]
fn a_value_in_an_address_stays_one_segment() {
    let values = parameters(&[("x", json!("a/../b?c=d#e %"))]);
    assert_eq!(address("https://host/v1/{{.x}}", &values).unwrap(), "https://host/v1/a%2F..%2Fb%3Fc%3Dd%23e%20%25");
    for source in ["https://{{.x}}/a", "{{.x}}://host/a", "https://host:{{.x}}/", "https://{{.x}}"] {
        assert!(address(source, &values).is_err(), "{source}");
    }
    assert!(address("https://host/{{.x}}/a", &parameters(&[("x", json!(".."))])).is_err());
}

proptest! {
    #[test]
    fn no_value_changes_the_shape_of_a_path(value in "[a-z\\[\\]=/\\\\{}.\"' é]{1,24}") {
        prop_assume!(value != "*");
        let path = path("/a/b[k={{.x}}]/c[l=1]", &parameters(&[("x", json!(value))])).unwrap();
        prop_assert_eq!(path.elem.len(), 3);
        prop_assert_eq!(&path.elem[1].key["k"], &value);
        prop_assert_eq!(path.to_string().parse::<Path>().unwrap(), path);
    }

    #[test]
    fn no_value_changes_the_shape_of_json(value in ".{0,24}") {
        let tree = json(&json!("{\"a\": \"{{.x}}\", \"b\": [\"<{{.x}}>\"]}"), &parameters(&[("x", json!(value))])).unwrap();
        prop_assert_eq!(tree, json!({"a": value, "b": [format!("<{value}>")]}));
    }

    #[test]
    fn no_value_ends_a_string_of_a_query(value in "[a-z\"'\\\\`}{\n#]{0,24}") {
        let query = promql("up{d=\"{{.x}}\"}", &parameters(&[("x", json!(value))])).unwrap();
        let inner = query.strip_prefix("up{d=\"").unwrap().strip_suffix("\"}").unwrap();
        prop_assert!(!inner.contains(['"', '\'', '\n']));
        let backslashes = inner.len() - inner.trim_end_matches('\\').len();
        prop_assert_eq!(backslashes % 2, 0);
    }
}
