//! The SNMP agent of one device: version 2c, GET, GETNEXT and GETBULK (RFC 3416), of SNMPv2-MIB, IF-MIB, HOST-RESOURCES-MIB,
//! BGP4-MIB and ENTITY-SENSOR-MIB.
//!
//! It is written here because it is small: the crates that speak SNMP are clients. Net-SNMP's tools and snmp_exporter ask it in
//! tests.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UdpSocket;

use crate::network::Network;
use ber::{Message, Oid, Pdu, PduKind, Value};

pub(crate) mod ber;
mod mib;

/// Above 1,023, which an ordinary user may not listen on.
pub(crate) const PORT: u16 = 1161;

/// Octets of a datagram that is sent or taken.
const DATAGRAM_MAX: usize = 60_000;

/// Variables of an answer to GETBULK.
const VARIABLES_MAX: usize = 1_000;

/// Serves a device for as long as the process lives.
///
/// # Errors
/// When the address cannot be listened on.
pub(crate) async fn serve(network: Arc<Network>, device: usize, port: u16, community: String) -> std::io::Result<()> {
    let address = network.lock().description.devices[device].address;
    let socket = UdpSocket::bind(SocketAddr::from((address, port))).await?;
    let mut datagram = vec![0; DATAGRAM_MAX];
    loop {
        // An ICMP error of an earlier answer is no reason to end.
        let Ok((length, client)) = socket.recv_from(&mut datagram).await else { continue };
        let answer = {
            let state = network.lock();
            if state.faults.unreachable.contains(&device) {
                continue;
            }
            let request = Message::parse(datagram.get(..length).unwrap_or_default());
            request.filter(|request| request.community == community.as_bytes()).map(|request| {
                let table = mib::table(&state, device);
                answer(&request, &table)
            })
        };
        // What is no request of version 2c, or has another community, gets no answer (RFC 3414 is not spoken).
        if let Some(answer) = answer {
            let _ = socket.send_to(&answer.write(), client).await;
        }
    }
}

/// Everything that the agent has, in the order of the OIDs.
type Table = std::collections::BTreeMap<Oid, Value>;

fn answer(request: &Message, table: &Table) -> Message {
    let Pdu { kind, id, first, second, variables } = &request.pdu;
    let names = || variables.iter().map(|(oid, _)| oid);
    let found = match kind {
        PduKind::Get => names().map(|oid| (oid.clone(), get(table, oid))).collect(),
        PduKind::GetNext => names().map(|oid| next(table, oid)).collect(),
        PduKind::GetBulk => bulk(table, &names().cloned().collect::<Vec<_>>(), *first, *second),
        PduKind::Response => Vec::new(),
    };
    let pdu = Pdu { kind: PduKind::Response, id: *id, first: 0, second: 0, variables: found };
    Message { community: request.community.clone(), pdu }
}

/// An instance that is not there is none of an object that is, or the object is not there (RFC 3416 §4.2.1).
fn get(table: &Table, oid: &Oid) -> Value {
    if let Some(value) = table.get(oid) {
        return value.clone();
    }
    let object = oid.parent();
    match table.range(object.clone()..).next().is_some_and(|(known, _)| known.starts_with(&object)) {
        true => Value::NoSuchInstance,
        false => Value::NoSuchObject,
    }
}

fn next(table: &Table, oid: &Oid) -> (Oid, Value) {
    let after = (std::ops::Bound::Excluded(oid), std::ops::Bound::Unbounded);
    let found = table.range::<Oid, _>(after).next();
    found.map_or_else(|| (oid.clone(), Value::EndOfMibView), |(oid, value)| (oid.clone(), value.clone()))
}

/// The first variables once, the others again and again (RFC 3416 §4.2.3).
fn bulk(table: &Table, names: &[Oid], non_repeaters: i64, repetitions: i64) -> Vec<(Oid, Value)> {
    let (once, rest) = names.split_at(usize::try_from(non_repeaters).unwrap_or(0).min(names.len()));
    let mut found: Vec<(Oid, Value)> = once.iter().map(|oid| next(table, oid)).collect();
    let mut at = rest.to_vec();
    for _ in 0..repetitions.max(0) {
        if at.is_empty() || found.len() + at.len() > VARIABLES_MAX {
            break;
        }
        let row: Vec<(Oid, Value)> = at.iter().map(|oid| next(table, oid)).collect();
        at = row.iter().map(|(oid, _)| oid.clone()).collect();
        let ended = row.iter().all(|(_, value)| *value == Value::EndOfMibView);
        found.extend(row);
        if ended {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests;
