//! Conditions in CEL, the language of Kubernetes' own rules: `when` of a step, `expect` of a check.
//!
//! A condition sees `params` (the parameters by name), `steps` (by the name of a step that was done: `steps.x.output`) and in
//! a check `value`. It has to be true or false; everything else is an error, and an error stops the runbook.

use cel::{Context, Program, Value as CelValue};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

/// Checks the syntax.
///
/// # Errors
/// What the parser says.
pub fn parse(source: &str) -> Result<(), String> {
    if crate::template::is_template(source) {
        return Err(format!("`{source}` is a condition, which has no templates: write params.name"));
    }
    Program::compile(source).map(|_| ()).map_err(|error| format!("`{source}` is no condition: {error}"))
}

/// Asks a condition.
///
/// # Errors
/// A name that is not known, values of types that cannot be compared, a result that is neither true nor false.
pub fn holds(source: &str, variables: &[(&str, &Value)]) -> Result<bool, String> {
    let program = Program::compile(source).map_err(|error| format!("`{source}` is no condition: {error}"))?;
    let mut context = Context::default();
    for (name, value) in variables {
        context.add_variable(*name, Json(value)).map_err(|error| format!("{name} has no form in CEL: {error}"))?;
    }
    match program.execute(&context) {
        Ok(CelValue::Bool(truth)) => Ok(truth),
        Ok(_) => Err(format!("the condition `{source}` gives neither true nor false")),
        Err(error) => Err(format!("the condition `{source}` cannot be asked: {error}")),
    }
}

/// JSON for CEL: whole numbers are `int`, the type that a number in a condition has, also where serde_json has them unsigned.
struct Json<'a>(&'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(truth) => serializer.serialize_bool(*truth),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(number), _) => serializer.serialize_i64(number),
                (None, number) => serializer.serialize_f64(number.unwrap_or(f64::NAN)),
            },
            Value::String(text) => serializer.serialize_str(text),
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Json(item))?;
                }
                list.end()
            }
            Value::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, &Json(value))?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_and_outputs_can_be_asked() {
        let params = json!({"interface": "Ethernet1", "mtu": 9000});
        let steps = json!({"read": {"output": {"oper-status": "UP", "speed": 10.5}}});
        let holds = |source: &str| holds(source, &[("params", &params), ("steps", &steps)]);
        assert_eq!(holds("params.mtu > 1500 && params.interface.startsWith('Ethernet')"), Ok(true));
        assert_eq!(holds("steps['read'].output['oper-status'] == 'DOWN'"), Ok(false));
        assert_eq!(holds("params.mtu == 9000"), Ok(true));
        assert_eq!(holds("steps.read.output.speed > 10.0"), Ok(true));
    }

    #[test]
    fn what_is_neither_true_nor_false_is_an_error() {
        for source in ["1 + 1", "params.missing == 1", "'a' > 1", "other", "1 / 0 == 1"] {
            assert!(holds(source, &[("params", &json!({}))]).is_err(), "{source}");
        }
        assert!(parse("a &&").is_err());
        assert!(parse("'{{.x}}' == 'y'").unwrap_err().contains("params.name"));
        assert!(parse("value == 'UP'").is_ok());
    }
}
