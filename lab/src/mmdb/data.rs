//! The data section: values behind control octets, strings that repeat behind pointers.

use hashbrown::HashMap;

/// A value of the format, with the width that it is written in.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the variants are named by the data types of the MaxMind DB format")]
pub enum Value {
    Text(String),
    Bytes(Vec<u8>),
    Bool(bool),
    U16(u16),
    U32(u32),
    U64(u64),
    U128(u128),
    I32(i32),
    Float(f32),
    Double(f64),
    Map(Vec<(String, Value)>),
    Array(Vec<Value>),
}

impl Value {
    /// A UTF-8 string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A map whose entries stay in this order.
    pub fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

/// Types beyond 7 are written as 0 with the rest in an octet of its own.
mod kind {
    pub(super) const POINTER: u8 = 1;
    pub(super) const TEXT: u8 = 2;
    pub(super) const DOUBLE: u8 = 3;
    pub(super) const BYTES: u8 = 4;
    pub(super) const U16: u8 = 5;
    pub(super) const U32: u8 = 6;
    pub(super) const MAP: u8 = 7;
    pub(super) const I32: u8 = 8;
    pub(super) const U64: u8 = 9;
    pub(super) const U128: u8 = 10;
    pub(super) const ARRAY: u8 = 11;
    pub(super) const BOOL: u8 = 14;
    pub(super) const FLOAT: u8 = 15;
}

/// Values one after the other.
#[derive(Debug, Default)]
pub(super) struct Section {
    bytes: Vec<u8>,
    texts: HashMap<String, u32, foldhash::fast::FixedState>,
}

impl Section {
    /// The octets of one value on its own, without pointers.
    pub(super) fn single(value: &Value) -> Vec<u8> {
        let mut section = Self::default();
        section.value(value);
        section.bytes
    }

    /// Appends a value and says where it begins.
    pub(super) fn append(&mut self, value: &Value) -> u32 {
        let offset = self.bytes.len() as u32;
        self.value(value);
        offset
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Text(text) => self.text(text),
            Value::Bytes(bytes) => self.sized(kind::BYTES, bytes),
            Value::Bool(set) => self.control(kind::BOOL, usize::from(*set)),
            Value::U16(number) => self.sized(kind::U16, significant(&number.to_be_bytes())),
            Value::U32(number) => self.sized(kind::U32, significant(&number.to_be_bytes())),
            Value::U64(number) => self.sized(kind::U64, significant(&number.to_be_bytes())),
            Value::U128(number) => self.sized(kind::U128, significant(&number.to_be_bytes())),
            Value::I32(number) => self.sized(kind::I32, &number.to_be_bytes()),
            Value::Float(number) => self.sized(kind::FLOAT, &number.to_be_bytes()),
            Value::Double(number) => self.sized(kind::DOUBLE, &number.to_be_bytes()),
            Value::Map(entries) => {
                self.control(kind::MAP, entries.len());
                for (key, value) in entries {
                    self.text(key);
                    self.value(value);
                }
            }
            Value::Array(items) => {
                self.control(kind::ARRAY, items.len());
                items.iter().for_each(|item| self.value(item));
            }
        }
    }

    /// A text, or a pointer to where it was written before if that is shorter.
    fn text(&mut self, text: &str) {
        if let Some(&offset) = self.texts.get(text) {
            let pointer = pointer(offset);
            if pointer.len() <= text.len() {
                self.bytes.extend(pointer);
                return;
            }
        }
        self.texts.insert(text.to_owned(), self.bytes.len() as u32);
        self.sized(kind::TEXT, text.as_bytes());
    }

    fn sized(&mut self, kind: u8, payload: &[u8]) {
        self.control(kind, payload.len());
        self.bytes.extend(payload);
    }

    /// The control octet: three bits of type, five of size; larger sizes go on behind it.
    fn control(&mut self, kind: u8, size: usize) {
        let (in_control, rest): (u8, Vec<u8>) = match size {
            0..29 => (size as u8, Vec::new()),
            29..285 => (29, vec![(size - 29) as u8]),
            285..65_821 => (30, ((size - 285) as u16).to_be_bytes().to_vec()),
            _ => {
                let [_, rest @ ..] = ((size - 65_821) as u32).to_be_bytes();
                (31, rest.to_vec())
            }
        };
        match kind {
            0..=7 => self.bytes.push(kind << 5 | in_control),
            _ => self.bytes.extend([in_control, kind - 7]),
        }
        self.bytes.extend(rest);
    }
}

/// A pointer: two bits of width, and the offset less what narrower pointers reach.
fn pointer(offset: u32) -> Vec<u8> {
    let octets = |width: u8, beyond: u32, skipped: usize| {
        let mut octets = (offset - beyond).to_be_bytes()[skipped..].to_vec();
        octets[0] |= kind::POINTER << 5 | width << 3;
        octets
    };
    match offset {
        0..2048 => octets(0, 0, 2),
        2048..526_336 => octets(1, 2048, 1),
        526_336..134_744_064 => octets(2, 526_336, 0),
        _ => [&[kind::POINTER << 5 | 3 << 3], offset.to_be_bytes().as_slice()].concat(),
    }
}

/// Integers are written without their leading zero octets.
fn significant(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    bytes.get(zeros..).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_have_the_four_widths_of_the_specification() {
        assert_eq!(pointer(0), [0x20, 0]);
        assert_eq!(pointer(2047), [0x27, 0xff]);
        assert_eq!(pointer(2048), [0x28, 0, 0]);
        assert_eq!(pointer(526_335), [0x2f, 0xff, 0xff]);
        assert_eq!(pointer(526_336), [0x30, 0, 0, 0]);
        assert_eq!(pointer(134_744_063), [0x37, 0xff, 0xff, 0xff]);
        assert_eq!(pointer(134_744_064), [0x38, 0x08, 0x08, 0x08, 0x00]);
    }

    #[test]
    fn sizes_have_the_four_forms_of_the_specification() {
        let head = |size: usize| {
            let text = Section::single(&Value::text("x".repeat(size)));
            text[..text.len() - size].to_vec()
        };
        assert_eq!(head(28), [0x5c]);
        assert_eq!(head(29), [0x5d, 0]);
        assert_eq!(head(284), [0x5d, 0xff]);
        assert_eq!(head(285), [0x5e, 0, 0]);
        assert_eq!(head(65_820), [0x5e, 0xff, 0xff]);
        assert_eq!(head(65_821), [0x5f, 0, 0, 0]);
    }

    #[test]
    fn integers_are_as_short_as_they_can_be_and_keep_their_type() {
        assert_eq!(Section::single(&Value::U16(0)), [0xa0]);
        assert_eq!(Section::single(&Value::U32(0x0102)), [0xc2, 1, 2]);
        assert_eq!(Section::single(&Value::U64(1)), [0x01, 0x02, 1]);
        assert_eq!(Section::single(&Value::I32(-1)), [0x04, 0x01, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(Section::single(&Value::Bool(true)), [0x01, 0x07]);
    }
}
