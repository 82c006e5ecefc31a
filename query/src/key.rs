//! What traffic is summed by.

use helios_common::columns::{BYTES, Column, ColumnKind, PACKETS};

use crate::sql::qualified;

/// One part of what traffic is summed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The value of a column.
    Column(Column),
    /// The port that names the service: the lower one of both, and the other where one of them is 0.
    ServicePort,
}

/// Short names and the columns that they stand for. `port` among columns is [`Key::ServicePort`].
const SHORT: &[(&str, &[&str])] = &[
    ("src", &["src_addr"]),
    ("dst", &["dst_addr"]),
    ("pair", &["src_addr", "dst_addr"]),
    ("sport", &["src_port"]),
    ("dport", &["dst_port"]),
    ("port", &["proto", "port"]),
    ("as", &["dst_as"]),
    ("as_pair", &["src_as", "dst_as"]),
    ("country", &["dst_country"]),
    ("site_pair", &["src_site", "dst_site"]),
    ("exporter", &["exporter_name"]),
    ("router", &["exporter_name"]),
    ("interface", &["exporter_name", "in_if_name"]),
    ("in_interface", &["exporter_name", "in_if_name"]),
    ("out_interface", &["exporter_name", "out_if_name"]),
];

/// A word that traffic cannot be summed by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum KeyError {
    #[error("unknown key {0}; did you mean {1}?")]
    Misspelt(String, &'static str),
    #[error(
        "unknown key {0}; a key is src, dst, pair, port, as, country, exporter, interface or a column of docs/columns.md"
    )]
    Unknown(String),
    #[error("a list of keys is empty; name at least one, such as src or src_as")]
    Empty,
    #[error("{0} cannot be summed by: each value is nearly unique")]
    Time(String),
    #[error("{0} cannot be summed by: it is what is summed")]
    Sum(String),
}

impl Key {
    /// Reads `src_as,dst_as`: columns (docs/columns.md) and short names, `-` and `_` alike.
    ///
    /// # Errors
    /// The first word that is no key.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, KeyError> {
        let mut keys = Vec::new();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            for key in Self::parse(word)? {
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        if keys.is_empty() { Err(KeyError::Empty) } else { Ok(keys) }
    }

    fn parse(word: &str) -> Result<Vec<Self>, KeyError> {
        let name = word.to_ascii_lowercase().replace('-', "_");
        if let Some((_, columns)) = SHORT.iter().find(|(short, _)| *short == name) {
            let key = |column: &&str| Column::by_name(column).map_or(Self::ServicePort, Self::Column);
            return Ok(columns.iter().map(key).collect());
        }
        match Column::by_name(&name) {
            Some(column) if column.spec().kind == ColumnKind::Time => Err(KeyError::Time(name)),
            Some(column) if [BYTES.column(), PACKETS.column()].contains(&column) => Err(KeyError::Sum(name)),
            Some(column) => Ok(vec![Self::Column(column)]),
            None => Err(unknown(word, &name)),
        }
    }

    /// Columns that the key reads.
    pub fn columns(self) -> Vec<Column> {
        match self {
            Self::Column(column) => vec![column],
            Self::ServicePort => ["src_port", "dst_port"].iter().filter_map(|name| Column::by_name(name)).collect(),
        }
    }

    /// The name of the key in a heading or a JSON object.
    pub fn name(self) -> &'static str {
        match self {
            Self::Column(column) => column.spec().name,
            Self::ServicePort => "service_port",
        }
    }

    /// The column that says what a value stands for: the organisation of an AS. Rollups do not have it.
    pub fn label(self) -> Option<Column> {
        let Self::Column(column) = self else { return None };
        let label = match column.spec().name {
            "src_as" => "src_as_name",
            "dst_as" => "dst_as_name",
            "in_if_index" => "in_if_name",
            "out_if_index" => "out_if_name",
            _ => return None,
        };
        Column::by_name(label)
    }

    /// The value in SQL, over the table that the statement calls `table`.
    pub(crate) fn sql(self, table: &str) -> String {
        match self {
            Self::Column(column) => qualified(table, column),
            Self::ServicePort => format!(
                "if({table}.src_port = 0 OR ({table}.dst_port != 0 AND {table}.dst_port <= {table}.src_port), \
                 {table}.dst_port, {table}.src_port)"
            ),
        }
    }
}

fn unknown(word: &str, name: &str) -> KeyError {
    let known = SHORT.iter().map(|(short, _)| *short).chain(Column::all().map(|column| column.spec().name));
    match helios_advice::nearest(name, known) {
        Some(near) => KeyError::Misspelt(word.to_owned(), near),
        None => KeyError::Unknown(word.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<&'static str> {
        Key::parse_list(text).unwrap().into_iter().map(Key::name).collect()
    }

    #[test]
    fn keys_are_columns_and_short_names() {
        assert_eq!(names("src_as,dst-as"), ["src_as", "dst_as"]);
        assert_eq!(names("pair"), ["src_addr", "dst_addr"]);
        assert_eq!(names("port"), ["proto", "service_port"]);
        assert_eq!(names("in-interface"), ["exporter_name", "in_if_name"]);
        assert_eq!(names("src, src_addr, dst"), ["src_addr", "dst_addr"]);
        assert_eq!(names("src_tenant"), ["src_tenant"]);
    }

    #[test]
    fn a_wrong_key_is_answered_with_the_right_one() {
        let error = Key::parse_list("src_ass").unwrap_err();
        assert_eq!(error.to_string(), "unknown key src_ass; did you mean src_as?");
        assert_eq!(Key::parse_list(" , "), Err(KeyError::Empty));
        assert!(matches!(Key::parse_list("flow_start"), Err(KeyError::Time(_))));
        assert!(matches!(Key::parse_list("src,bytes"), Err(KeyError::Sum(_))));
    }

    #[test]
    fn every_short_name_is_a_list_of_keys() {
        for (name, _) in SHORT {
            assert!(!Key::parse_list(name).unwrap().is_empty(), "{name}");
        }
    }
}
