//! Values of flags as people write them: times, numbers with a suffix, addresses by name.
//!
//! Each function is a clap `value_parser`; its error says what was expected.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Reads a time such as `500ms`, `10s`, `5m`, `1h` or `7d`; a number alone is seconds.
///
/// # Errors
/// What was expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_secs = match unit {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => f64::NAN,
    };
    let secs = number.parse::<f64>().map_or(f64::NAN, |number| number * unit_secs);
    let duration = Duration::try_from_secs_f64(secs).ok().filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| "expected a time such as 500ms, 10s, 5m, 1h or 7d".to_owned())
}

/// Reads a number above 0 with an optional k, M or G (decimal).
///
/// # Errors
/// What was expected.
pub fn number(text: &str) -> Result<f64, String> {
    let (number, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1e3),
        Some(b'M') => (&text[..text.len() - 1], 1e6),
        Some(b'G') => (&text[..text.len() - 1], 1e9),
        _ => (text, 1.0),
    };
    let scaled =
        number.parse::<f64>().ok().map(|number| number * factor).filter(|number| number.is_finite() && *number > 0.0);
    scaled.ok_or_else(|| "expected a number above 0 such as 500, 10k or 1.5M".to_owned())
}

/// Reads a whole number above 0 with an optional k, M or G (decimal).
///
/// # Errors
/// What was expected.
pub fn count(text: &str) -> Result<u64, String> {
    let count = number(text).ok().filter(|count| count.fract() == 0.0 && *count < u64::MAX as f64);
    count.map(|count| count as u64).ok_or_else(|| "expected a whole number above 0 such as 500, 10k or 1M".to_owned())
}

/// Reads an IP address or a host name, and a port. Of a name with addresses of both families it takes an IPv4 address:
/// `localhost` then is one of the many loopback addresses of IPv4.
///
/// # Errors
/// What was expected, or why the name cannot be resolved.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let form = "expected an address and a port, such as 192.0.2.1:2055, [2001:db8::1]:2055 or localhost:2055";
    if !text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
        return Err(form.to_owned());
    }
    let found = text.to_socket_addrs().map_err(|error| format!("the name cannot be resolved: {error}"))?;
    found.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| form.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let ms = |text| duration(text).map(|duration| duration.as_millis());
        assert_eq!(
            (ms("500ms"), ms("1.5s"), ms("2m"), ms("1h"), ms("3"), ms("2d")),
            (Ok(500), Ok(1_500), Ok(120_000), Ok(3_600_000), Ok(3_000), Ok(172_800_000))
        );
        for wrong in ["", "0s", "-1s", "10w", "s", "1e300h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_target_is_an_address_or_a_name_with_a_port() {
        let shown = |text| address(text).map(|found| found.to_string());
        assert_eq!(shown("localhost:2055").as_deref(), Ok("127.0.0.1:2055"));
        assert_eq!(shown("[::1]:2055").as_deref(), Ok("[::1]:2055"));
        for wrong in ["localhost", "2055", ":2055", "127.0.0.1", "localhost:flows"] {
            assert!(address(wrong).unwrap_err().starts_with("expected an address and a port"), "{wrong}");
        }
    }

    #[test]
    fn numbers_take_the_usual_suffixes() {
        assert_eq!((number("1.5M"), number("10k"), count("2G")), (Ok(1.5e6), Ok(1e4), Ok(2_000_000_000)));
        for wrong in ["", "k", "0", "-1", "1e999", "ten", "NaN"] {
            assert!(number(wrong).is_err(), "{wrong}");
        }
        assert!(count("1.5").is_err());
    }
}
