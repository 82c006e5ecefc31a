//! What devices send that is not as it should be, or is told in another way, and what the rows of it have to be.
//!
//! Octets follow RFC 7011 (messages), RFC 5103 (biflows), RFC 5477 and RFC 7014 (sampling), RFC 7012 (elements).

use helios_collector::config::{CollectorConfig, SamplingConfig, SamplingMode};
use helios_collector::decode::DecodeError;
use helios_collector::encode::{Put, enterprise_field, field};
use helios_common::columns::{
    ACCESS_POINT_MAC, BYTES, CLOCK_STATUS, DST_ADDR, DST_PORT, FLOW_END, FLOW_START, PACKETS, SAMPLING_INTERVAL,
    SAMPLING_SOURCE, SRC_ADDR, SRC_MAC, SRC_PORT, WLAN_SSID,
};
use helios_common::exporter::mapped;

use crate::bench::{Bench, NOW, ipfix, netflow9};

/// RFC 7011 §3.1 and §3.3: a message's length is that of its sets together; here it is two octets short.
#[test]
fn a_message_that_is_shorter_than_its_last_set_is_read_and_counted() {
    let mut message = ipfix(|m| {
        m.template(256, &[field(8, 4), field(1, 4)]);
        m.data(256, |out| out.put(&[10, 0, 0, 1, 0, 0, 0, 100, 10, 0, 0, 2, 0, 0, 0, 200]));
    });
    let length = message.len() as u16 - 2;
    message[2..4].copy_from_slice(&length.to_be_bytes());
    let mut bench = Bench::new();
    let decoded = bench.decode(&message);
    assert_eq!((decoded.data_records, decoded.contradictions), (2, 1));
    assert_eq!(bench.out.values(BYTES), [100, 200]);
    assert_eq!(bench.decoder.exporters().next().unwrap().stats.tally.contradicting_lengths, 1);
    // What begins behind the message's end is none of it.
    let mut longer = ipfix(|m| m.data(256, |out| out.put(&[10, 0, 0, 3, 0, 0, 0, 1])));
    longer.extend([1, 0, 0, 12, 10, 0, 0, 4, 0, 0, 0, 2]);
    let decoded = bench.decode(&longer);
    assert_eq!((decoded.data_records, decoded.contradictions), (1, 0));
}

/// The other way round: the header says more than the datagram holds. The sets in it are whole.
#[test]
fn a_message_that_is_longer_than_its_datagram_is_read_and_counted() {
    for more in [2, 100] {
        let mut message = ipfix(|m| {
            m.template(256, &[field(8, 4), field(1, 4)]);
            m.data(256, |out| out.put(&[10, 0, 0, 1, 0, 0, 0, 100, 10, 0, 0, 2, 0, 0, 0, 200]));
        });
        let length = message.len() as u16 + more;
        message[2..4].copy_from_slice(&length.to_be_bytes());
        let mut bench = Bench::new();
        let decoded = bench.decode(&message);
        assert_eq!((decoded.data_records, decoded.contradictions), (2, 1), "{more}");
        assert_eq!(bench.out.values(BYTES), [100, 200]);
    }
}

/// A set's length ends behind the datagram, or inside the set's own header. The sets in front of it are whole; nothing tells
/// where its records end or a further set begins. nfdump 1.7 and tshark 4 read the sets in front of it as well.
#[test]
fn a_set_that_runs_past_its_datagram_costs_no_set_in_front_of_it() {
    let records = [10, 0, 0, 1, 0, 0, 0, 100, 10, 0, 0, 2, 0, 0, 0, 200];
    let fields = [field(8, 4), field(1, 4)];
    let of_ipfix = ipfix(|m| {
        m.template(256, &fields);
        m.data(256, |out| out.put(&records));
    });
    let of_netflow9 = netflow9(0, |m| {
        m.template(256, &fields);
        m.data(256, 2, |out| out.put(&records));
    });
    for (whole, header) in [(of_ipfix, 16), (of_netflow9, 20)] {
        for length in [0_u16, 3, 2000, u16::MAX] {
            let mut message = whole.clone();
            message.extend([1, 0]);
            message.extend(length.to_be_bytes());
            message.extend([10, 0, 0, 3, 0, 0, 3, 0]);
            message.extend(&whole[whole.len() - 20..]);
            if header == 16 {
                let length = message.len() as u16;
                message[2..4].copy_from_slice(&length.to_be_bytes());
            }
            let mut bench = Bench::new();
            let decoded = bench.decode(&message);
            assert_eq!((decoded.templates, decoded.contradictions, decoded.sets_left_out), (1, 1, 1), "{length}");
            assert_eq!(bench.out.values(BYTES), [100, 200], "{length}");
            assert_eq!(bench.decoder.exporters().next().unwrap().stats.tally.contradicting_lengths, 1);
            // Without a set in front of it, nothing of the message can be read.
            let mut alone = message[..header].to_vec();
            alone.extend([1, 0, 0xff, 0xff, 10, 0, 0, 1]);
            assert_eq!(bench.try_decode(&alone).unwrap_err().error, DecodeError::BadLength);
        }
    }
}

/// RFC 7011 §7: the length of a field runs past its set. The records in front of it, and the other sets, are whole.
#[test]
fn a_length_that_runs_past_its_set_costs_no_other_record() {
    let mut bench = Bench::new();
    let decoded = bench.decode(&ipfix(|m| {
        m.template(256, &[field(96, 0xffff), field(1, 4)]);
        m.template(257, &[field(8, 4), field(1, 4)]);
        m.data(256, |out| out.put(&[1, b'a', 0, 0, 0, 7, 200, b'b', 0, 0, 0, 8]));
        m.data(257, |out| out.put(&[10, 0, 0, 1, 0, 0, 0, 9]));
    }));
    assert_eq!((decoded.data_records, decoded.contradictions), (2, 1));
    assert_eq!(bench.out.values(BYTES), [7, 9]);
}

/// RFC 7011 §4: totals count since the begin of the flow. Two flows with one key, told apart by their start.
#[test]
fn repeated_totals_of_a_flow_add_up_to_what_passed() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| m.template(256, &[field(8, 4), field(152, 8), field(85, 8), field(86, 8)])));
    for (start, bytes) in [(NOW, 1000_u64), (NOW, 5000), (NOW - 7, 300), (NOW, 5000), (NOW, 9000)] {
        bench.decode(&ipfix(|m| {
            m.data(256, |out| {
                out.put(&[10, 0, 0, 1]);
                out.put_u64(start as u64);
                out.put_u64(bytes);
                out.put_u64(bytes / 100);
            });
        }));
    }
    assert_eq!(bench.out.values(BYTES), [1000, 4000, 300, 0, 4000]);
    assert_eq!(bench.out.values(PACKETS), [10, 40, 3, 0, 40]);
}

#[test]
fn deltas_are_no_totals_whatever_stands_beside_them() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.decode(&ipfix(|m| {
            m.template(256, &[field(8, 4), field(1, 4), field(85, 4), field(86, 4)]);
            m.data(256, |out| out.put(&[10, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 90, 0, 0, 0, 3]));
        }));
    }
    assert_eq!((bench.out.values(BYTES), bench.out.values(PACKETS)), (&[9, 9, 9][..], &[3, 0, 0][..]));
}

/// RFC 7011 §8.1: template ids are of a transport session, which has the port in it.
#[test]
fn ports_of_one_address_that_disagree_about_a_template_are_told_apart() {
    let define = |fields: [(u16, u16); 2]| ipfix(|m| m.template(256, &fields.map(|(id, length)| field(id, length))));
    let mut bench = Bench::new();
    let mut send = |port: u16, message: &[u8]| {
        bench.source.set_port(port);
        bench.decode(message);
    };
    let data = ipfix(|m| m.data(256, |out| out.put(&[10, 0, 0, 1, 0, 0, 0, 5])));
    for _ in 0..2 {
        send(5001, &define([(8, 4), (1, 4)]));
        send(5002, &define([(1, 4), (10, 4)]));
        send(5001, &data);
        send(5002, &data);
    }
    assert_eq!(bench.out.values(BYTES), [5, 0x0a00_0001, 5, 0x0a00_0001]);
    let stats = bench.decoder.exporters().next().unwrap();
    assert_eq!((stats.templates_disputed, stats.templates_alternated), (1, 2));
}

/// RFC 7012: durations (161, 162) beside one end of the flow; a zero is no time.
#[test]
fn a_duration_and_one_end_give_the_other() {
    let cases = [(161, 153, 4000, (NOW - 5000, NOW - 1000)), (162, 152, 4_000_000, (NOW - 1000, NOW + 3000))];
    for (duration, end, units, times) in cases {
        let mut bench = Bench::new();
        bench.decode(&ipfix(|m| {
            m.template(256, &[field(8, 4), field(duration, 4), field(end, 8)]);
            m.data(256, |out| {
                out.put(&[10, 0, 0, 1]);
                out.put_u32(units);
                out.put_u64((NOW - 1000) as u64);
            });
        }));
        assert_eq!((bench.out.get(FLOW_START, 0), bench.out.get(FLOW_END, 0)), times, "{duration}");
    }
}

#[test]
fn a_zero_time_gives_way_to_the_uptime_beside_it() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(60_000, |m| {
        m.template(256, &[field(152, 8), field(153, 8), field(22, 4), field(21, 4)]);
        m.data(256, 2, |out| {
            out.put(&[0; 16]);
            out.put_u32(50_000);
            out.put_u32(59_000);
            out.put_u64((NOW - 700) as u64);
            out.put_u64((NOW - 300) as u64);
            out.put(&[0; 8]);
        });
    }));
    assert_eq!(bench.out.values(FLOW_START), [NOW - 10_000, NOW - 700]);
    assert_eq!(bench.out.values(FLOW_END), [NOW - 1000, NOW - 300]);
}

/// The header of a message is a day off; absolute times in its records are right, or are off by as much.
#[test]
fn absolute_times_that_are_right_stay_where_the_header_is_wrong() {
    const DAY_MS: i64 = 86_400_000;
    for (off, expected, status) in [(0, NOW - 1000, 0), (DAY_MS, NOW - 1000, 1)] {
        let mut bench = Bench::with(|config| config.max_clock_skew_ms = Some(600_000));
        let mut message = ipfix(|m| {
            m.template(256, &[field(8, 4), field(152, 8), field(153, 8)]);
            m.data(256, |out| {
                out.put(&[10, 0, 0, 1]);
                out.put_u64((NOW - 1000 - off) as u64);
                out.put_u64((NOW - 1000 - off) as u64);
            });
        });
        let export = ((NOW - DAY_MS) / 1000) as u32;
        message[4..8].copy_from_slice(&export.to_be_bytes());
        bench.decode(&message);
        assert_eq!((bench.out.get(FLOW_END, 0), bench.out.get(CLOCK_STATUS, 0)), (expected, status), "{off}");
    }
}

/// Cisco AVC, over IPFIX and over NetFlow v9: client and server, and which of them sent (RFC 5103 §6.3).
#[test]
fn client_and_server_are_source_and_destination_by_the_direction() {
    const CISCO: u32 = 9;
    let record = |out: &mut Vec<u8>, direction| {
        out.put(&[10, 1, 0, 1, 203, 0, 113, 5, 0xc7, 0x38, 0x01, 0xbb, direction]);
    };
    let by_ipfix = ipfix(|m| {
        let client = [(12236, 4), (12237, 4), (12240, 2), (12241, 2)];
        let mut fields: Vec<_> = client.map(|(id, length)| enterprise_field(CISCO, id, length)).into();
        fields.push(field(239, 1));
        m.template(256, &fields);
        m.data(256, |out| [1, 2].into_iter().for_each(|direction| record(out, direction)));
    });
    let by_netflow9 = netflow9(0, |m| {
        m.template(256, &[(45004, 4), (45005, 4), (45008, 2), (45009, 2), (239, 1)].map(|(id, n)| field(id, n)));
        m.data(256, 2, |out| [1, 2].into_iter().for_each(|direction| record(out, direction)));
    });
    let (client, server) = (mapped([10, 1, 0, 1]), mapped([203, 0, 113, 5]));
    for message in [by_ipfix, by_netflow9] {
        let mut bench = Bench::new();
        bench.decode(&message);
        assert_eq!(bench.out.values(SRC_ADDR), [client, server]);
        assert_eq!(bench.out.values(DST_ADDR), [server, client]);
        assert_eq!((bench.out.values(SRC_PORT), bench.out.values(DST_PORT)), (&[51_000, 443][..], &[443, 51_000][..]));
    }
}

#[test]
fn a_station_is_the_source_of_what_came_from_it() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.template(256, &[(366, 4), (365, 6), (367, 6), (147, 8), (61, 1)].map(|(id, length)| field(id, length)));
        m.data(256, 2, |out| {
            for direction in [0, 1] {
                out.put(&[10, 9, 8, 7, 2, 0xaa, 0xbb, 0xcc, 0xdd, 1, 2, 0, 0, 0, 0, 9]);
                out.put(b"guest\0\0\0");
                out.put(&[direction]);
            }
        });
    }));
    let station = mapped([10, 9, 8, 7]);
    assert_eq!((bench.out.get(SRC_ADDR, 0), bench.out.get(DST_ADDR, 0)), (station, [0; 16]));
    assert_eq!((bench.out.get(SRC_ADDR, 1), bench.out.get(DST_ADDR, 1)), ([0; 16], station));
    assert_eq!((bench.out.get(SRC_MAC, 0), bench.out.get(ACCESS_POINT_MAC, 0)), (0x02aa_bbcc_dd01, 0x0200_0000_0009));
    assert_eq!(bench.names_of(bench.out.values(WLAN_SSID)), ["guest", "guest"]);
}

/// Intervals by hand, as a configuration has them, through the decoder.
#[test]
fn intervals_by_hand_override_or_stand_where_none_is_told() {
    let rule = |exporter: &str, interface, interval, mode| SamplingConfig {
        exporter: exporter.to_owned(),
        interface,
        interval,
        mode,
    };
    let config = CollectorConfig {
        sampling: vec![
            rule("192.0.2.0/24", None, 100, SamplingMode::Default),
            rule("192.0.2.1", Some(7), 2000, SamplingMode::Override),
            rule("0.0.0.0/0", None, 9, SamplingMode::Override),
        ],
        ..CollectorConfig::default()
    };
    config.validate().unwrap();
    let decoder = config.decoder().unwrap();
    let mut bench = Bench::with(|bench| bench.sampling = decoder.sampling);
    bench.decode(&ipfix(|m| {
        m.template(256, &[field(8, 4), field(10, 2), field(34, 2)]);
        m.data(256, |out| {
            // Interface 3 tells nothing, 5 tells 512, 7 tells 512 and is overridden.
            for (interface, told) in [(3, 0), (5, 512), (7, 512)] {
                out.put(&[10, 0, 0, 1]);
                out.put_u16(interface);
                out.put_u16(told);
            }
        });
    }));
    assert_eq!(bench.out.values(SAMPLING_INTERVAL), [100, 512, 2000]);
    assert_eq!(bench.out.values(SAMPLING_SOURCE), [6, 1, 6]);
}

/// RFC 5477 §8.2: 305 alone is no interval, and the selector's algorithm says which parameters count.
#[test]
fn half_of_a_sampling_method_is_unknown_and_not_1() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.options_template(300, 1, &[field(302, 2), field(304, 2), field(305, 4), field(309, 4), field(310, 4)]);
        m.data(300, |out| {
            for (selector, algorithm) in [(1, 3), (2, 1)] {
                out.put_u16(selector);
                out.put_u16(algorithm);
                [1, 1, 256].into_iter().for_each(|value| out.put_u32(value));
            }
        });
        m.template(256, &[field(8, 4), field(302, 2)]);
        m.data(256, |out| {
            for selector in [1, 2] {
                out.put(&[10, 0, 0, 1]);
                out.put_u16(selector);
            }
        });
    }));
    assert_eq!(bench.out.values(SAMPLING_INTERVAL), [256, 1]);
    assert_eq!(bench.out.values(SAMPLING_SOURCE), [2, 0]);
}
