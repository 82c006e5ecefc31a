//! Moments as NetBox writes them and takes them in filters: RFC 3339, `2026-11-23T01:02:03.456789+01:00`.

use std::time::SystemTime;

/// A moment as filters take it: `2026-11-23T01:02:03Z`, made of the parts of an HTTP date.
pub(crate) fn format(time: SystemTime) -> String {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let date = httpdate::fmt_http_date(time);
    let mut parts = date.split(' ').skip(1);
    let mut part = || parts.next().unwrap_or_default();
    let (day, month, year, clock) = (part(), part(), part(), part());
    let month = MONTHS.find(month).unwrap_or(0) / 3 + 1;
    format!("{year}-{month:02}-{day}T{clock}Z")
}

/// Unix seconds of a moment in any time zone; `None` for what is none.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let end = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at_checked(end)?;
    let (clock, zone) = (seconds(clock)?, zone.trim_start_matches('Z'));
    let offset = match zone.split_at_checked(1) {
        Some(("+", zone)) => seconds(zone)?,
        Some((_, zone)) => -seconds(zone)?,
        None => 0,
    };
    Some(days(year, month, day) * 86_400 + clock - offset)
}

/// `01:02:03.456` or `01:02`.
fn seconds(clock: &str) -> Option<i64> {
    let whole = clock.split('.').next()?;
    let mut parts = whole.split(':').map(|part| part.parse::<i64>().ok());
    let (hours, minutes) = (parts.next()??, parts.next()??);
    Some(hours * 3600 + minutes * 60 + parts.next().flatten().unwrap_or(0))
}

/// Days of the Gregorian calendar since 1970. Years begin in March here, so that the leap day is the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day
        - 1
        - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_filters_take_it_and_read_in_any_time_zone() {
        for (date, text) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37Z"),
            ("Fri, 01 Jan 2027 00:00:00 GMT", "2027-01-01T00:00:00Z"),
            ("Tue, 29 Feb 2028 23:59:59 GMT", "2028-02-29T23:59:59Z"),
        ] {
            let time = httpdate::parse_http_date(date).unwrap();
            assert_eq!(format(time), text);
            let unix = time.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
            assert_eq!(parse(text), Some(unix as i64), "{text}");
        }
        let moments = ["2026-11-23T01:02:03.456789+01:00", "2026-11-22T19:02:03-05:00", "2026-11-23T00:02:03.9Z"];
        assert_eq!(moments.map(parse), [Some(1_795_392_123); 3]);
        assert_eq!(["", "yesterday", "2026-11-23", "2026-11-23Tx"].map(parse), [None; 4]);
    }
}
