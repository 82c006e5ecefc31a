//! Wire clocks: what exporters send as time, turned into Unix milliseconds (UTC).
//!
//! Sources: RFC 7011 §6.1.7 to §6.1.10 (seconds, milliseconds, NTP fractions), RFC 3954 §5.1 (sysUptime).

mod utc;

pub use utc::Utc;

/// Milliseconds since 1970-01-01 UTC.
pub type UnixMs = i64;

/// The begin of the minute that `at` is in.
pub const fn minute_of(at: UnixMs) -> UnixMs {
    at - at.rem_euclid(60_000)
}

/// Seconds from the NTP epoch (1900) to the Unix epoch (RFC 5905 §6).
const NTP_TO_UNIX_SECS: i64 = 2_208_988_800;

/// An NTP timestamp of 32 bits seconds and 32 bits fraction.
///
/// Seconds below 2^31 belong to NTP era 1 (from 2036 on): no exporter reports a flow from before 1968.
pub const fn ntp_to_unix_ms(ntp: u64) -> UnixMs {
    if ntp == 0 {
        return 0;
    }
    let secs = (ntp >> 32) as i64;
    let era = if secs < 1 << 31 { 1_i64 << 32 } else { 0 };
    let fraction_ms = ((ntp & 0xffff_ffff) * 1000) >> 32;
    (secs + era - NTP_TO_UNIX_SECS) * 1000 + fraction_ms as i64
}

/// Turns sysUptime values of one message into Unix time.
///
/// The uptime wraps every 49.7 days (2^32 ms): the difference to the message's own uptime is taken modulo 2^32
/// as a signed number, so a flow that began before the wrap still began before its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UptimeClock {
    export_ms: UnixMs,
    uptime_ms: u32,
}

impl UptimeClock {
    /// `export_ms` is the message's export time, `uptime_ms` the sysUptime in the same header.
    pub const fn new(export_ms: UnixMs, uptime_ms: u32) -> Self {
        Self { export_ms, uptime_ms }
    }

    /// The same clock, set forward by so much.
    pub const fn moved(self, ms: i64) -> Self {
        Self { export_ms: self.export_ms + ms, uptime_ms: self.uptime_ms }
    }

    /// The Unix time of an uptime of this message.
    pub const fn unix_ms(self, uptime_ms: u32) -> UnixMs {
        self.export_ms + uptime_ms.wrapping_sub(self.uptime_ms) as i32 as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_before_the_message_is_in_the_past() {
        let clock = UptimeClock::new(1_700_000_000_000, 60_000);
        assert_eq!(clock.unix_ms(58_500), 1_699_999_998_500);
    }

    #[test]
    fn uptime_wraps_at_two_to_the_thirty_two() {
        // The flow began 1 s before the wrap, the message left 2 s after it.
        let clock = UptimeClock::new(1_700_000_000_000, 2_000);
        assert_eq!(clock.unix_ms(u32::MAX - 999), 1_699_999_997_000);
    }

    #[test]
    fn uptime_ahead_of_the_message_is_skew_not_fifty_days() {
        let clock = UptimeClock::new(1_700_000_000_000, 10_000);
        assert_eq!(clock.unix_ms(10_250), 1_700_000_000_250);
    }

    #[test]
    fn ntp_fractions_are_binary_not_microseconds() {
        // 2023-11-14T22:13:20.5Z: half a second is 2^31 fractions.
        let ntp = ((1_700_000_000_u64 + 2_208_988_800) << 32) | (1 << 31);
        assert_eq!(ntp_to_unix_ms(ntp), 1_700_000_000_500);
    }

    #[test]
    fn ntp_era_one_begins_in_2036() {
        // 2036-02-07T06:28:16Z, the first second of era 1 that is not the "no time" value.
        assert_eq!(ntp_to_unix_ms(1 << 32), 2_085_978_497_000);
        assert_eq!(ntp_to_unix_ms(0), 0);
    }
}
