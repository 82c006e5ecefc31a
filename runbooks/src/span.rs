//! Durations as runbooks write them: `90s`, `5m`, `1h30m`.

use std::time::Duration;

/// Reads hours, minutes and seconds, in this order, each at most once.
///
/// # Errors
/// The text, and what is expected.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration: write 90s, 5m or 1h30m");
    let mut rest = text;
    let mut secs = 0u64;
    for (unit, factor) in [('h', 3_600), ('m', 60), ('s', 1)] {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits > 0 && rest[digits..].starts_with(unit) {
            let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            secs = number.checked_mul(factor).and_then(|part| secs.checked_add(part)).ok_or_else(wrong)?;
            rest = &rest[digits + 1..];
        }
    }
    if !rest.is_empty() || text.is_empty() || secs > 86_400 * 365 {
        return Err(wrong());
    }
    Ok(Duration::from_secs(secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_come_in_their_order_and_once() {
        assert_eq!(parse("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
        for wrong in ["", "10", "s", "1s1m", "-1s", "1.5h", "1m1m", "99999999999999999999s", "9999999h"] {
            assert!(parse(wrong).unwrap_err().contains("1h30m"), "{wrong}");
        }
    }
}
