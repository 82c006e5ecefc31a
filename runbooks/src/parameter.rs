//! The values of an execution, checked against the runbook's parameters.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use crate::resource::{Parameter, ParameterType};

/// A parameter is a name, a number or a list of some thousand names.
pub const VALUE_BYTES_MAX: usize = 65_536;

/// Checked values by name. A parameter that is optional and not given is missing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parameters(BTreeMap<String, Value>);

impl Parameters {
    /// A string, an integer or a boolean.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The value as text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(text)
    }

    /// All values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The same with one value more: the item of a for-each.
    #[must_use]
    pub fn with(&self, name: &str, value: Value) -> Self {
        let mut values = self.0.clone();
        values.insert(name.to_owned(), value);
        Self(values)
    }

    /// Checks the values of an execution. Every mistake is a line of the error.
    ///
    /// # Errors
    /// What is wrong, with the parameter's name.
    pub fn check(declared: &[Parameter], given: &BTreeMap<String, Value>) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        let mut values = BTreeMap::new();
        for name in given.keys().filter(|name| !declared.iter().any(|parameter| parameter.name == **name)) {
            let known: Vec<&str> = declared.iter().map(|parameter| parameter.name.as_str()).collect();
            mistakes.push(format!("the runbook has no parameter `{}`; it has: {}", shown(name), known.join(", ")));
        }
        for parameter in declared {
            let default = parameter.default.as_ref().map(|text| Value::from(text.as_str()));
            match given.get(&parameter.name).or(default.as_ref()).map(|value| check(parameter, value)) {
                Some(Ok(value)) => _ = values.insert(parameter.name.clone(), value),
                Some(Err(mistake)) => mistakes.push(format!("parameter `{}` {mistake}", parameter.name)),
                None if parameter.required => mistakes.push(format!("parameter `{}` is required", parameter.name)),
                None => {}
            }
        }
        if mistakes.is_empty() { Ok(Self(values)) } else { Err(mistakes) }
    }
}

/// What is wrong in the declaration itself: a pattern that is no regular expression, a default that does not fit.
pub fn mistakes(declared: &[Parameter]) -> Vec<String> {
    let mut mistakes = Vec::new();
    for parameter in declared {
        if let Some(pattern) = &parameter.pattern
            && let Err(error) = whole(pattern)
        {
            mistakes.push(format!("parameter `{}`: its pattern is no regular expression: {error}", parameter.name));
        } else if let Some(default) = &parameter.default
            && let Err(mistake) = check(parameter, &Value::from(default.as_str()))
        {
            mistakes.push(format!("parameter `{}`: its default {mistake}", parameter.name));
        }
    }
    mistakes
}

/// A value's text: strings without quotes.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn check(parameter: &Parameter, value: &Value) -> Result<Value, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        _ => return Err("is neither text nor a number".to_owned()),
    };
    if text.len() > VALUE_BYTES_MAX {
        return Err(format!("has {} bytes, more than {VALUE_BYTES_MAX}", text.len()));
    }
    if let Some(pattern) = &parameter.pattern {
        let pattern = whole(pattern).map_err(|_| "has a pattern that is no regular expression".to_owned())?;
        if !pattern.is_match(&text) {
            return Err(format!(
                "is `{}`, which does not match {}",
                shown(&text),
                parameter.pattern.as_deref().unwrap_or("")
            ));
        }
    }
    if !parameter.values.is_empty() && !parameter.values.contains(&text) {
        return Err(format!("is `{}`, and may be: {}", shown(&text), parameter.values.join(", ")));
    }
    match parameter.kind {
        ParameterType::String | ParameterType::Enum => Ok(Value::from(text)),
        ParameterType::Integer => text
            .parse::<i64>()
            .map(Value::from)
            .map_err(|_| format!("is `{}`, and has to be a whole number", shown(&text))),
        ParameterType::Boolean => text
            .parse::<bool>()
            .map(Value::from)
            .map_err(|_| format!("is `{}`, and has to be true or false", shown(&text))),
    }
}

/// A pattern for the whole text. `\A` and `\z`: `$` would also match before a newline at the end.
fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!(r"\A(?:{pattern})\z"))
}

/// At most 64 characters, without control characters: the text goes to a status and to logs.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(64).flat_map(char::escape_debug).collect();
    if text.chars().nth(64).is_some() { start + "..." } else { start }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parameter(name: &str, kind: ParameterType) -> Parameter {
        Parameter { name: name.into(), kind, required: true, ..Parameter::default() }
    }

    fn check_one(parameter: Parameter, value: Value) -> Result<Value, String> {
        let name = parameter.name.clone();
        let given = BTreeMap::from([(name.clone(), value)]);
        match Parameters::check(&[parameter], &given) {
            Ok(values) => Ok(values.get(&name).unwrap().clone()),
            Err(mistakes) => Err(mistakes.join("\n")),
        }
    }

    #[test]
    fn values_get_the_type_of_their_parameter() {
        assert_eq!(check_one(parameter("n", ParameterType::Integer), json!("100")), Ok(json!(100)));
        assert_eq!(check_one(parameter("n", ParameterType::Integer), json!(100)), Ok(json!(100)));
        assert_eq!(check_one(parameter("n", ParameterType::String), json!(100)), Ok(json!("100")));
        assert_eq!(check_one(parameter("n", ParameterType::Boolean), json!("true")), Ok(json!(true)));
        assert!(check_one(parameter("n", ParameterType::Integer), json!("1.5")).unwrap_err().contains("whole number"));
        assert!(check_one(parameter("n", ParameterType::Boolean), json!("yes")).unwrap_err().contains("true or false"));
        assert!(check_one(parameter("n", ParameterType::String), json!({"a": 1})).is_err());
    }

    #[test]
    fn a_pattern_is_for_the_whole_value_with_its_last_newline() {
        let mut name = parameter("interface", ParameterType::String);
        name.pattern = Some("Ethernet[0-9]+|eth0".into());
        assert!(check_one(name.clone(), json!("Ethernet1")).is_ok());
        for value in ["Ethernet1\n", "xEthernet1", "Ethernet1]", "eth0x"] {
            assert!(check_one(name.clone(), json!(value)).unwrap_err().contains("does not match"), "{value:?}");
        }
    }

    #[test]
    fn what_is_missing_unknown_or_too_large_is_named() {
        let mistakes = Parameters::check(&[parameter("device", ParameterType::String)], &BTreeMap::new()).unwrap_err();
        assert_eq!(mistakes, ["parameter `device` is required"]);
        let given = BTreeMap::from([("devise".to_owned(), json!("r1"))]);
        let mistakes = Parameters::check(&[parameter("device", ParameterType::String)], &given).unwrap_err();
        assert_eq!(mistakes[0], "the runbook has no parameter `devise`; it has: device");
        let large = check_one(parameter("device", ParameterType::String), json!("x".repeat(1 << 20))).unwrap_err();
        assert!(large.contains("1048576 bytes, more than 65536") && large.len() < 200, "{large}");
    }

    #[test]
    fn a_declaration_that_cannot_work_is_found_without_an_execution() {
        let mut broken = parameter("a", ParameterType::String);
        broken.pattern = Some("(".into());
        let mut unfit = parameter("b", ParameterType::Integer);
        unfit.default = Some("many".into());
        let mistakes = mistakes(&[broken, unfit]);
        assert!(mistakes[0].contains("no regular expression") && mistakes[1].contains("its default is `many`"));
    }
}
