//! Texts that exporters and inventories chose, made safe for a terminal and for CSV.

/// Replaces control characters, which would steer a terminal, with U+FFFD.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Appends a field of CSV (RFC 4180), in quotes if it has a comma, a quote or a line break. Control characters other than line
/// breaks and tabs become U+FFFD: CSV has no escapes for them.
pub fn quote(text: &str, out: &mut String) {
    let steers = |c: char| c.is_control() && !['\n', '\r', '\t'].contains(&c);
    let text = text.replace(steers, "\u{fffd}");
    if text.contains(['"', ',', '\n', '\r']) {
        out.push('"');
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_steers_terminals_does_not_reach_one() {
        let mut out = String::new();
        quote("\u{1b}[31mred\u{9b}0m", &mut out);
        assert_eq!(out, "\u{fffd}[31mred\u{fffd}0m");
    }
}
