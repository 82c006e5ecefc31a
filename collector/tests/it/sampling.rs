//! Sampling intervals: the forms in which they are announced, and what an announcement is of.
//!
//! RFC 3954 §6.1 and RFC 7011 §3.4.2.1 (scopes), RFC 5476 §6.5 and RFC 5477 (selectors). Which of several intervals
//! counts is tested in `netflow.rs`.

use helios_collector::encode::netflow9::Scope;
use helios_collector::encode::{Put, field};
use helios_common::columns::{SAMPLING_INTERVAL, SAMPLING_SOURCE};

use crate::bench::{Bench, ipfix, ipfix_in, netflow9};

const UNKNOWN: u8 = 0;
const INTERFACE: u8 = 3;
const DOMAIN: u8 = 4;

#[test]
fn a_probability_is_an_interval() {
    for octets in [0.001_f64.to_be_bytes().to_vec(), 0.001_f32.to_be_bytes().to_vec()] {
        let length = octets.len() as u16;
        let mut bench = Bench::new();
        bench.decode(&ipfix(|m| {
            m.options_template(300, 1, &[field(302, 8), field(304, 2), field(311, length)]);
            m.data(300, |out| {
                out.put_u64(7);
                out.put_u16(4);
                out.put(&octets);
            });
            m.template(256, &[field(8, 4), field(302, 8)]);
            m.data(256, |out| {
                out.put(&[10, 0, 0, 1]);
                out.put_u64(7);
            });
            m.template(257, &[field(8, 4), field(311, length)]);
            m.data(257, |out| {
                out.put(&[10, 0, 0, 1]);
                out.put(&octets);
            });
        }));
        assert_eq!(bench.out.values(SAMPLING_INTERVAL), [1000, 1000], "{length} octets");
    }
    for nonsense in [0.0, -0.5, 1.5, f64::NAN, f64::INFINITY] {
        let mut bench = Bench::new();
        bench.decode(&ipfix(|m| {
            m.template(257, &[field(8, 4), field(311, 8)]);
            m.data(257, |out| {
                out.put(&[10, 0, 0, 1]);
                out.put(&nonsense.to_be_bytes());
            });
        }));
        assert_eq!(bench.out.values(SAMPLING_INTERVAL), [1], "{nonsense}");
    }
}

#[test]
fn a_selection_sequence_has_the_interval_of_its_selector() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        // Selector 5: one packet of 100. Sequence 6 is made of it, at observation point 1; of sequence 5 nothing is known.
        m.options_template(300, 1, &[field(302, 8), field(304, 2), field(305, 4), field(306, 4)]);
        m.data(300, |out| {
            out.put_u64(5);
            out.put_u16(1);
            out.put_u32(1);
            out.put_u32(99);
        });
        m.options_template(301, 1, &[field(301, 8), field(138, 4), field(302, 8)]);
        m.data(301, |out| {
            out.put_u64(6);
            out.put_u32(1);
            out.put_u64(5);
        });
        m.template(256, &[field(8, 4), field(301, 8)]);
        m.data(256, |out| {
            for sequence in [6, 5] {
                out.put(&[10, 0, 0, 1]);
                out.put_u64(sequence);
            }
        });
    }));
    assert_eq!(bench.out.values(SAMPLING_INTERVAL), [100, 1]);
}

/// RFC 5476 §6.5.1: the packets that one selector takes are offered to the next.
#[test]
fn a_sequence_of_several_selectors_multiplies_their_intervals_and_filters_have_none() {
    const SELECTORS: [(u64, Option<u32>); 3] = [(1, Some(10)), (2, Some(20)), (3, None)];
    for (sequence, expected) in [
        (&[1][..], 10),
        (&[1, 2], 200),
        (&[2, 1], 200),
        (&[3, 1], 10),
        (&[1, 3], 10),
        (&[3, 1, 3, 2], 200),
        (&[3], 1),
        (&[1; 9], 1), // more than are kept: unknown
    ] {
        let mut bench = Bench::new();
        bench.decode(&ipfix(|m| {
            m.options_template(300, 1, &[field(302, 8), field(304, 2), field(305, 4), field(306, 4)]);
            m.options_template(301, 1, &[field(302, 8), field(304, 2)]);
            for (id, interval) in SELECTORS {
                m.data(if interval.is_some() { 300 } else { 301 }, |out| {
                    out.put_u64(id);
                    out.put_u16(if interval.is_some() { 1 } else { 5 });
                    if let Some(interval) = interval {
                        out.put_u32(1);
                        out.put_u32(interval - 1);
                    }
                });
            }
            let selectors = sequence.iter().map(|_| field(302, 8));
            m.options_template(302, 1, &[field(301, 8)].into_iter().chain(selectors).collect::<Vec<_>>());
            m.data(302, |out| {
                out.put_u64(77);
                sequence.iter().for_each(|&id| out.put_u64(id));
            });
            m.template(256, &[field(8, 4), field(301, 8)]);
            m.data(256, |out| {
                out.put(&[10, 0, 0, 1]);
                out.put_u64(77);
            });
        }));
        assert_eq!(bench.out.values(SAMPLING_INTERVAL), [expected], "{sequence:?}");
    }
}

#[test]
fn scopes_of_version_9_tell_what_an_interval_is_of() {
    let flow = |index: u8| [10, 0, 0, 1, 0, index];
    let cases = [
        (Scope::Interface, 5, [512, 1]),
        (Scope::System, 5, [512, 512]),
        (Scope::LineCard, 5, [512, 512]),
        (Scope::Template, 256, [512, 512]),
        (Scope::Template, 257, [1, 1]),
    ];
    for (scope, value, expected) in cases {
        let mut bench = Bench::new();
        bench.decode(&netflow9(0, |m| {
            m.options_template(257, &[(scope, 4)], &[field(34, 4)]);
            m.data(257, 1, |out| [value, 512].into_iter().for_each(|value| out.put_u32(value)));
            m.template(256, &[field(8, 4), field(10, 2)]);
            m.data(256, 2, |out| [5, 6].into_iter().for_each(|index| out.put(&flow(index))));
        }));
        assert_eq!(bench.out.values(SAMPLING_INTERVAL), expected, "{scope:?} {value}");
    }
}

#[test]
fn intervals_of_templates_are_kept_apart_from_each_other_and_from_the_domains() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        // templateId (145) as the scope: 256 is sampled 1 in 100, 257 1 in 1000, the rest of the domain 1 in 10.
        m.options_template(300, 1, &[field(145, 2), field(34, 4)]);
        m.options_template(301, 1, &[field(144, 4), field(34, 4)]);
        m.data(301, |out| [0, 10].into_iter().for_each(|value| out.put_u32(value)));
        m.data(300, |out| {
            for (template, interval) in [(256, 100), (257, 1000)] {
                out.put_u16(template);
                out.put_u32(interval);
            }
        });
        for template in 256..259 {
            m.template(template, &[field(8, 4)]);
            m.data(template, |out| out.put(&[10, 0, 0, 1]));
        }
    }));
    assert_eq!(bench.out.values(SAMPLING_INTERVAL), [100, 1000, 10]);
    assert_eq!(bench.out.values(SAMPLING_SOURCE), [DOMAIN; 3]);
}

#[test]
fn an_interval_is_of_the_domain_that_its_scope_names() {
    let mut bench = Bench::new();
    let flow = |domain| {
        ipfix_in(domain, |m| {
            m.template(256, &[field(8, 4)]);
            m.data(256, |out| out.put(&[10, 0, 0, 1]));
        })
    };
    bench.decode(&ipfix_in(1, |m| {
        m.options_template(300, 1, &[field(149, 4), field(34, 4)]); // observationDomainId
        m.data(300, |out| [7, 100, 8, 1000].into_iter().for_each(|value| out.put_u32(value)));
    }));
    [7, 8, 9].into_iter().for_each(|domain| _ = bench.decode(&flow(domain)));
    assert_eq!(bench.out.values(SAMPLING_INTERVAL), [100, 1000, 1], "of domain 9 two others say different things");
    assert_eq!(bench.out.values(SAMPLING_SOURCE), [DOMAIN, DOMAIN, UNKNOWN]);
}

#[test]
fn a_domain_that_announces_nothing_has_the_interval_that_all_others_have() {
    let announced = |domain, interval| {
        ipfix_in(domain, |m| {
            m.options_template(300, 1, &[field(144, 4), field(34, 4)]);
            m.data(300, |out| [0, interval].into_iter().for_each(|value| out.put_u32(value)));
        })
    };
    let flow = ipfix_in(3, |m| {
        m.template(256, &[field(8, 4)]);
        m.data(256, |out| out.put(&[10, 0, 0, 1]));
    });
    for (others, expected) in [([512, 512], 512), ([512, 1024], 1)] {
        let mut bench = Bench::new();
        bench.decode(&announced(1, others[0]));
        bench.decode(&announced(2, others[1]));
        bench.decode(&flow);
        assert_eq!(bench.out.values(SAMPLING_INTERVAL), [expected], "{others:?}");
    }
}

#[test]
fn an_interfaces_interval_is_that_of_the_interface_where_the_flow_was_metered() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.options_template(300, &[(Scope::Interface, 2)], &[field(34, 2)]);
        m.data(300, 2, |out| [5, 100, 6, 1000].into_iter().for_each(|value| out.put_u16(value)));
        m.template(256, &[field(10, 2), field(14, 2), field(61, 1)]);
        m.data(256, 2, |out| out.put(&[0, 5, 0, 6, 0, 0, 5, 0, 6, 1])); // the same way, at ingress and at egress
    }));
    assert_eq!(bench.out.values(SAMPLING_INTERVAL), [100, 1000]);
    assert_eq!(bench.out.values(SAMPLING_SOURCE), [INTERFACE; 2]);
}
