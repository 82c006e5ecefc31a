//! Time: what clocks of every kind say, and what becomes of clocks that are wrong.

use helios_collector::encode::{Field, Put, field, ipfix, netflow5, netflow9};
use helios_common::columns::{CLOCK_STATUS, FLOW_END, FLOW_START, RECEIVED_AT};

use crate::bench::{Bench, NOW, NOW_SECS};

const OK: u8 = 0;
const CORRECTED: u8 = 1;
const IMPLAUSIBLE: u8 = 2;

const MAX_SKEW_MS: i64 = 600_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Seconds from the NTP epoch (1900) to the Unix epoch.
const NTP_TO_UNIX_SECS: u64 = 2_208_988_800;

fn bench() -> Bench {
    Bench::with(|config| config.max_clock_skew_ms = Some(MAX_SKEW_MS))
}

fn secs(ms: i64) -> u32 {
    u32::try_from(ms / 1000).unwrap()
}

/// Start, end and status of the first row.
fn times(bench: &Bench) -> (i64, i64, u8) {
    assert_eq!(bench.out.get(RECEIVED_AT, 0), NOW, "received_at is always true");
    (bench.out.get(FLOW_START, 0), bench.out.get(FLOW_END, 0), bench.out.get(CLOCK_STATUS, 0))
}

/// What an IPFIX message that left at `export_ms` says of a record of 8 octets each for `start` and `end`.
fn ipfix_times(bench: &mut Bench, export_ms: i64, elements: (u16, u16), values: (u64, u64)) -> (i64, i64, u8) {
    let fields = [field(elements.0, 8), field(elements.1, 8), field(1, 4)];
    let mut out = Vec::new();
    let header = ipfix::Header { export_secs: secs(export_ms), sequence: 0, observation_domain_id: 0 };
    let mut message = ipfix::Message::begin(&header, &mut out);
    message.template(256, &fields);
    message.data(256, |out| {
        out.put_u64(values.0);
        out.put_u64(values.1);
        out.put_u32(100);
    });
    bench.decode(&out);
    times(bench)
}

fn milliseconds(export_ms: i64, start: i64, end: i64) -> (i64, i64, u8) {
    ipfix_times(&mut bench(), export_ms, (152, 153), (start as u64, end as u64))
}

/// A v9 message with sysUptime fields.
fn netflow9_times(export_secs: u32, uptime_ms: u32, first_ms: u32, last_ms: u32) -> (i64, i64, u8) {
    let mut bench = bench();
    let mut out = Vec::new();
    let header = netflow9::Header { sys_uptime_ms: uptime_ms, export_secs, sequence: 0, source_id: 7 };
    let mut message = netflow9::Message::begin(&header, &mut out);
    message.template(256, &[field(22, 4), field(21, 4)]);
    message.data(256, 1, |out| {
        out.put_u32(first_ms);
        out.put_u32(last_ms);
    });
    bench.decode(&out);
    times(&bench)
}

fn netflow5_times(export_secs: u32, uptime_ms: u32, first_ms: u32, last_ms: u32) -> (i64, i64, u8) {
    let mut bench = bench();
    let mut out = Vec::new();
    let header = netflow5::Header { sys_uptime_ms: uptime_ms, export_secs, ..netflow5::Header::default() };
    let record = netflow5::Record { first_ms, last_ms, packets: 1, octets: 60, ..netflow5::Record::default() };
    header.write(1, &mut out);
    record.write(&mut out);
    bench.decode(&out);
    times(&bench)
}

#[test]
fn sys_uptime_wraps_at_two_to_the_thirty_two() {
    // The flow began 3 s before the message and 1 s before the wrap.
    let expected = (NOW - 3000, NOW - 500, OK);
    assert_eq!(netflow9_times(NOW_SECS, 2000, u32::MAX - 999, 1500), expected);
    assert_eq!(netflow5_times(NOW_SECS, 2000, u32::MAX - 999, 1500), expected);
}

#[test]
fn a_clock_that_is_off_by_less_than_the_limit_is_left_alone() {
    for skew in [-MAX_SKEW_MS, -1000, 1000, MAX_SKEW_MS] {
        let (start, end) = (NOW + skew - 5000, NOW + skew);
        assert_eq!(milliseconds(NOW + skew, start, end), (start, end, OK), "off by {skew} ms");
    }
}

#[test]
fn skew_in_both_directions_is_taken_out_and_the_duration_kept() {
    for skew in [-400 * DAY_MS, -HOUR_MS, HOUR_MS, 3000 * DAY_MS] {
        let seen = milliseconds(NOW + skew, NOW + skew - 7250, NOW + skew - 250);
        assert_eq!(seen, (NOW - 7250, NOW - 250, CORRECTED), "off by {skew} ms");
        let export_secs = secs(NOW + skew);
        assert_eq!(netflow9_times(export_secs, 90_000, 82_750, 89_750), (NOW - 7250, NOW - 250, CORRECTED));
        assert_eq!(netflow5_times(export_secs, 90_000, 82_750, 89_750), (NOW - 7250, NOW - 250, CORRECTED));
    }
}

#[test]
fn a_device_that_never_had_the_time_counts_from_zero() {
    assert_eq!(netflow5_times(0, 90_000, 82_750, 89_750), (NOW - 7250, NOW - 250, CORRECTED));
    assert_eq!(netflow9_times(0, 90_000, 82_750, 89_750), (NOW - 7250, NOW - 250, CORRECTED));
    assert_eq!(netflow9_times(90, 90_000, 82_750, 89_750), (NOW - 7250, NOW - 250, CORRECTED));
    // 90 s after 1970 by its own clock, the flow began 10 s before.
    assert_eq!(milliseconds(90_000, 80_000, 85_000), (NOW - 10_000, NOW - 5000, CORRECTED));
}

#[test]
fn seconds_are_whole_ones() {
    let at = u64::from(NOW_SECS);
    assert_eq!(ipfix_times(&mut bench(), NOW, (150, 151), (at - 9, at - 2)), (NOW - 9000, NOW - 2000, OK));
}

#[test]
fn ntp_fractions_are_binary_in_microseconds_and_nanoseconds() {
    let ntp = |secs: u32, fraction: u64| ((u64::from(secs) + NTP_TO_UNIX_SECS) << 32) | fraction;
    // Half a second and three quarters.
    let values = (ntp(NOW_SECS - 4, 1 << 31), ntp(NOW_SECS - 2, 3 << 30));
    for elements in [(154, 155), (156, 157)] {
        assert_eq!(ipfix_times(&mut bench(), NOW, elements, values), (NOW - 3500, NOW - 1250, OK));
        let late = NOW - HOUR_MS;
        assert_eq!(
            ipfix_times(&mut bench(), late, elements, (ntp(secs(late) - 4, 1 << 31), ntp(secs(late) - 2, 3 << 30))),
            (NOW - 3500, NOW - 1250, CORRECTED)
        );
    }
}

#[test]
fn delta_microseconds_are_before_the_export() {
    let values = (2_500_000, 250_999);
    assert_eq!(ipfix_times(&mut bench(), NOW, (158, 159), values), (NOW - 2500, NOW - 250, OK));
    assert_eq!(ipfix_times(&mut bench(), 0, (158, 159), values), (NOW - 2500, NOW - 250, CORRECTED));
}

/// An IPFIX exporter that says in options data when it booted.
fn system_init(export_ms: i64, init_ms: i64) -> (i64, i64, u8) {
    const OPTIONS: [Field; 2] = [field(144, 4), field(160, 8)];
    let mut bench = bench();
    let mut out = Vec::new();
    let header = ipfix::Header { export_secs: secs(export_ms), sequence: 0, observation_domain_id: 0 };
    let mut message = ipfix::Message::begin(&header, &mut out);
    message.options_template(300, 1, &OPTIONS);
    message.data(300, |out| {
        out.put_u32(0);
        out.put_u64(init_ms as u64);
    });
    message.template(256, &[field(22, 4), field(21, 4)]);
    message.data(256, |out| {
        out.put_u32(50_000);
        out.put_u32(58_000);
    });
    bench.decode(&out);
    times(&bench)
}

#[test]
fn sys_uptime_of_ipfix_counts_from_system_init_time() {
    assert_eq!(system_init(NOW, NOW - 60_000), (NOW - 10_000, NOW - 2000, OK));
    let wrong = NOW - 5000 * DAY_MS;
    assert_eq!(system_init(wrong, wrong - 60_000), (NOW - 10_000, NOW - 2000, CORRECTED));
}

#[test]
fn a_boot_time_in_the_record_itself_is_by_the_exporters_clock_too() {
    for (clock, status) in [(NOW, OK), (NOW - 5000 * DAY_MS, CORRECTED)] {
        let mut bench = bench();
        let mut out = Vec::new();
        let header = ipfix::Header { export_secs: secs(clock), sequence: 0, observation_domain_id: 0 };
        let mut message = ipfix::Message::begin(&header, &mut out);
        message.template(256, &[field(160, 8), field(22, 4), field(21, 4)]);
        message.data(256, |out| {
            out.put_u64((clock - 60_000) as u64);
            out.put_u32(50_000);
            out.put_u32(58_000);
        });
        bench.decode(&out);
        assert_eq!(times(&bench), (NOW - 10_000, NOW - 2000, status));
    }
}

#[test]
fn a_time_that_makes_no_sense_gives_way() {
    // The header's clock is right, the records' are not.
    assert_eq!(milliseconds(NOW, NOW + DAY_MS, NOW + DAY_MS + 1), (NOW, NOW, IMPLAUSIBLE));
    assert_eq!(milliseconds(NOW, NOW - 101 * DAY_MS, NOW - 5), (NOW - 5, NOW - 5, IMPLAUSIBLE));
    assert_eq!(milliseconds(NOW, NOW - 10, NOW + MAX_SKEW_MS + 1), (NOW - 10, NOW, IMPLAUSIBLE));
    assert_eq!(milliseconds(NOW, NOW - 10, NOW - 20), (NOW - 20, NOW - 20, IMPLAUSIBLE), "an end before its start");
    assert_eq!(milliseconds(NOW, NOW - 99 * DAY_MS, NOW), (NOW - 99 * DAY_MS, NOW, OK), "a long flow is no fault");
}

#[test]
fn only_the_rows_that_make_no_sense_are_marked() {
    let mut bench = bench();
    let message = crate::bench::ipfix(|m| {
        m.template(256, &[field(152, 8), field(153, 8)]);
        m.data(256, |out| {
            for start in [NOW - 30, NOW + DAY_MS, NOW - 20] {
                out.put_u64(start as u64);
                out.put_u64(NOW as u64);
            }
        });
    });
    bench.decode(&message);
    assert_eq!(bench.out.values(FLOW_START), [NOW - 30, NOW, NOW - 20]);
    assert_eq!(bench.out.values(CLOCK_STATUS), [OK, IMPLAUSIBLE, OK]);
}

#[test]
fn a_flow_whose_begin_was_not_exported_begins_when_it_ends() {
    assert_eq!(milliseconds(NOW, 0, NOW - 700), (NOW - 700, NOW - 700, OK));
    assert_eq!(milliseconds(NOW, NOW - 700, 0), (NOW - 700, NOW, OK));
    assert_eq!(milliseconds(NOW - DAY_MS, 0, 0), (NOW, NOW, CORRECTED));
}

#[test]
fn what_no_table_can_hold_never_reaches_one() {
    // DateTime64(3) ends in 2299; the record says 2^64 - 1, 2^63 and the last second of 2299.
    for value in [u64::MAX, 1 << 63, 10_413_791_999_000] {
        for clock in [0, NOW, i64::from(u32::MAX) * 1000] {
            let (start, end, _) = ipfix_times(&mut bench(), clock, (152, 153), (value, value));
            assert!((NOW - 100 * DAY_MS..=NOW + MAX_SKEW_MS).contains(&start) && start <= end, "{start} {end}");
        }
    }
}

#[test]
fn held_sets_are_corrected_by_the_clock_of_their_own_message() {
    let mut bench = bench();
    let in_message = |clock: i64, write: &dyn Fn(&mut ipfix::Message<'_>)| {
        let mut out = Vec::new();
        let header = ipfix::Header { export_secs: secs(clock), sequence: 0, observation_domain_id: 0 };
        write(&mut ipfix::Message::begin(&header, &mut out));
        out
    };
    let wrong = NOW - 40 * DAY_MS;
    bench.decode(&in_message(wrong, &|m| {
        m.data(256, |out| {
            out.put_u64((wrong - 5000) as u64);
            out.put_u64((wrong - 4000) as u64);
        });
    }));
    // The exporter's clock was set right before the template came.
    bench.decode(&in_message(NOW, &|m| m.template(256, &[field(152, 8), field(153, 8)])));
    assert_eq!(times(&bench), (NOW - 5000, NOW - 4000, CORRECTED));
}

#[test]
fn without_a_limit_every_time_is_taken_as_it_is() {
    let mut bench = Bench::new();
    let clock = NOW - 4000 * DAY_MS;
    let seen = ipfix_times(&mut bench, clock, (152, 153), ((clock - 10) as u64, clock as u64));
    assert_eq!(seen, (clock - 10, clock, OK));
}
