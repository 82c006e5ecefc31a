//! Values as JSON, and JSON as values (gNMI specification §2.2.3, §2.3.1; RFC 7951).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Number, Value as Json};

use crate::message::{TypedValue, typed_value::Value};

/// A value has no form in JSON.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// The message has no value.
    #[error("the device sent a value without content")]
    Empty,
    /// `json_val` or `json_ietf_val` that is no JSON.
    #[error("the device sent JSON that cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// NaN or infinity.
    #[error("the device sent {0}, which is no number in JSON")]
    NotANumber(f64),
    /// A message of a type that is not known here.
    #[error("the device sent a protobuf message ({0}), which cannot be read without its definition")]
    Protobuf(String),
}

impl TypedValue {
    /// `json` in the encoding JSON_IETF.
    pub fn json_ietf(json: &Json) -> Self {
        Self { value: Some(Value::JsonIetfVal(json.to_string().into_bytes())) }
    }

    /// The value as JSON: scalars as scalars, octets as base64 (RFC 7951 §6.6), a leaf-list as an array.
    ///
    /// # Errors
    /// [`ValueError`] where there is no value, or none that JSON can hold.
    pub fn to_json(&self) -> Result<Json, ValueError> {
        Ok(match self.value.as_ref().ok_or(ValueError::Empty)? {
            Value::StringVal(text) | Value::AsciiVal(text) => Json::from(text.as_str()),
            Value::IntVal(number) => Json::from(*number),
            Value::UintVal(number) => Json::from(*number),
            Value::BoolVal(truth) => Json::from(*truth),
            Value::BytesVal(octets) => Json::from(STANDARD.encode(octets)),
            Value::FloatVal(number) => float(f64::from(*number))?,
            Value::DoubleVal(number) => float(*number)?,
            Value::DecimalVal(decimal) => {
                float(decimal.digits as f64 / 10f64.powi(i32::try_from(decimal.precision).unwrap_or(i32::MAX)))?
            }
            Value::LeaflistVal(list) => {
                Json::Array(list.element.iter().map(Self::to_json).collect::<Result<_, ValueError>>()?)
            }
            Value::JsonVal(octets) | Value::JsonIetfVal(octets) => serde_json::from_slice(octets)?,
            Value::AnyVal(any) => return Err(ValueError::Protobuf(any.type_url.clone())),
            Value::ProtoBytes(_) => return Err(ValueError::Protobuf("proto_bytes".to_owned())),
        })
    }
}

fn float(number: f64) -> Result<Json, ValueError> {
    Number::from_f64(number).map(Json::Number).ok_or(ValueError::NotANumber(number))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::message::{Decimal64, ScalarArray};

    fn json_of(value: Value) -> Json {
        TypedValue { value: Some(value) }.to_json().unwrap()
    }

    #[test]
    fn scalars_are_scalars() {
        assert_eq!(json_of(Value::StringVal("UP".into())), json!("UP"));
        assert_eq!(json_of(Value::UintVal(u64::MAX)), json!(u64::MAX));
        assert_eq!(json_of(Value::IntVal(-1)), json!(-1));
        assert_eq!(json_of(Value::DecimalVal(Decimal64 { digits: 125, precision: 1 })), json!(12.5));
        assert_eq!(json_of(Value::BytesVal(b"\x00\xff".to_vec())), json!("AP8="));
    }

    #[test]
    fn json_and_lists_are_kept() {
        let tree = json!({"enabled": false, "mtu": 9000});
        assert_eq!(TypedValue::json_ietf(&tree).to_json().unwrap(), tree);
        let element = vec![TypedValue { value: Some(Value::StringVal("a".into())) }];
        assert_eq!(json_of(Value::LeaflistVal(ScalarArray { element })), json!(["a"]));
    }

    #[test]
    fn what_json_cannot_hold_is_an_error() {
        assert!(matches!(TypedValue::default().to_json(), Err(ValueError::Empty)));
        let number = TypedValue { value: Some(Value::DoubleVal(f64::NAN)) };
        assert!(matches!(number.to_json(), Err(ValueError::NotANumber(_))));
        let broken = TypedValue { value: Some(Value::JsonVal(b"{".to_vec())) };
        assert!(matches!(broken.to_json(), Err(ValueError::Json(_))));
    }
}
