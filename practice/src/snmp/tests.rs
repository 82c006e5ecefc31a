use proptest::prelude::*;

use super::*;
use crate::description::Description;
use crate::network::State;

fn oid(text: &str) -> Oid {
    Oid(text.split('.').map(|subid| subid.parse().unwrap()).collect())
}

fn ask(kind: PduKind, first: i64, second: i64, names: &[&str]) -> Vec<(Oid, Value)> {
    let mut state = State::new(Description::generated(4, 20), 1_700_000_000_000);
    state.advance(1_700_000_060_000);
    let variables = names.iter().map(|name| (oid(name), Value::Null)).collect();
    let request = Message { community: b"c".to_vec(), pdu: Pdu { kind, id: 7, first, second, variables } };
    let answer = answer(&request, &mib::table(&state, 0));
    assert_eq!((answer.pdu.kind, answer.pdu.id, answer.pdu.first), (PduKind::Response, 7, 0));
    answer.pdu.variables
}

/// `snmpget -v2c -c public 127.0.0.1 1.3.6.1.2.1.1.3.0` of Net-SNMP 5.9, as tcpdump shows it.
#[test]
fn a_request_of_net_snmp_is_read() {
    let octets = [
        0x30, 0x29, 0x02, 0x01, 0x01, 0x04, 0x06, b'p', b'u', b'b', b'l', b'i', b'c', 0xa0, 0x1c, 0x02, 0x04, 0x2e,
        0x5c, 0x0f, 0x4b, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00, 0x30, 0x0e, 0x30, 0x0c, 0x06, 0x08, 0x2b, 0x06, 0x01,
        0x02, 0x01, 0x01, 0x03, 0x00, 0x05, 0x00,
    ];
    let message = Message::parse(&octets).unwrap();
    assert_eq!(
        (message.community.as_slice(), message.pdu.kind, message.pdu.id),
        (&b"public"[..], PduKind::Get, 0x2e5c_0f4b)
    );
    assert_eq!(message.pdu.variables, [(oid("1.3.6.1.2.1.1.3.0"), Value::Null)]);
    assert_eq!(message.write(), octets);
}

#[test]
fn what_is_not_there_is_told_apart() {
    let answers = ask(PduKind::Get, 0, 0, &["1.3.6.1.2.1.1.5.0", "1.3.6.1.2.1.1.5.1", "1.3.6.1.2.1.1.99.0"]);
    let values: Vec<Value> = answers.into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, [Value::Octets(b"zrh-core-1".to_vec()), Value::NoSuchInstance, Value::NoSuchObject]);
}

#[test]
fn a_walk_goes_through_everything_once_in_order() {
    let mut at = "1.3.6.1.2.1".to_owned();
    let mut seen = Vec::new();
    loop {
        let (next, value) = ask(PduKind::GetNext, 0, 0, &[&at]).remove(0);
        if value == Value::EndOfMibView {
            break;
        }
        at = next.0.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
        seen.push(next);
    }
    assert!(seen.len() > 100 && seen.windows(2).all(|pair| pair[0] < pair[1]));
    let in_bulk = ask(PduKind::GetBulk, 0, 10_000, &["1.3.6.1.2.1"]);
    assert_eq!(in_bulk.len(), seen.len() + 1, "all of them, and the end");
}

#[test]
fn bulk_answers_row_by_row_behind_what_is_asked_once() {
    let answers =
        ask(PduKind::GetBulk, 1, 2, &["1.3.6.1.2.1.1.5", "1.3.6.1.2.1.31.1.1.1.6", "1.3.6.1.2.1.31.1.1.1.10"]);
    let names: Vec<Oid> = answers.into_iter().map(|(name, _)| name).collect();
    let expected = [
        "1.3.6.1.2.1.1.5.0",
        "1.3.6.1.2.1.31.1.1.1.6.1",
        "1.3.6.1.2.1.31.1.1.1.10.1",
        "1.3.6.1.2.1.31.1.1.1.6.2",
        "1.3.6.1.2.1.31.1.1.1.10.2",
    ];
    assert_eq!(names, expected.map(oid));
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::Integer),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Value::Octets),
        proptest::collection::vec(any::<u32>(), 0..20).prop_map(|rest| Value::Oid(oid("1.3").child(&rest))),
        any::<[u8; 4]>().prop_map(Value::IpAddress),
        any::<u32>().prop_map(Value::Counter32),
        any::<u32>().prop_map(Value::Gauge32),
        any::<u32>().prop_map(Value::TimeTicks),
        any::<u64>().prop_map(Value::Counter64),
        Just(Value::EndOfMibView),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(values in proptest::collection::vec(values(), 0..40), id in any::<i32>()) {
        let variables = values.into_iter().map(|value| (oid("1.3.6.1"), value)).collect();
        let pdu = Pdu { kind: PduKind::Response, id: i64::from(id), first: 0, second: 0, variables };
        let message = Message { community: b"lab".to_vec(), pdu };
        prop_assert_eq!(Message::parse(&message.write()), Some(message));
    }

    #[test]
    fn no_octets_make_it_panic(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Message::parse(&octets);
    }
}
