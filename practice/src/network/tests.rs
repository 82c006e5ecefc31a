use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::fault::{FaultKind, Switch};
use crate::tree::edit;

/// A network that has run for so many seconds.
fn running(seconds: i64) -> State {
    let mut state = State::new(Description::generated(12, 20), 1_000_000_000_000);
    run(&mut state, seconds);
    state
}

fn run(state: &mut State, seconds: i64) {
    for _ in 0..seconds {
        state.advance(state.now + 1_000);
    }
}

fn switch(state: &mut State, fault: FaultKind, device: &str, interface: Option<&str>, undo: bool) {
    let switch = Switch { fault, device: device.into(), interface: interface.map(Into::into), undo };
    switch.apply(state).unwrap();
    state.settle();
}

/// An interface of a link that carries traffic, and its far end.
fn busy_link(state: &State) -> ((usize, usize), (usize, usize)) {
    let all = (0..state.devices.len())
        .flat_map(|device| (0..state.devices[device].interfaces.len()).map(move |at| (device, at)));
    let busiest = all.filter(|(device, at)| state.devices[*device].interfaces[*at].far.is_some());
    let end = busiest.max_by_key(|(device, at)| state.devices[*device].interfaces[*at].counters.in_octets).unwrap();
    (end, state.devices[end.0].interfaces[end.1].far.unwrap())
}

fn counters(state: &State, (device, at): (usize, usize)) -> Counters {
    state.devices[device].interfaces[at].counters
}

fn names(state: &State, (device, at): (usize, usize)) -> (String, String) {
    let device = &state.description.devices[device];
    (device.name.clone(), device.interfaces[at].name.clone())
}

#[test]
fn what_one_end_sends_the_other_one_receives_and_flows_tell_the_same() {
    let state = running(60);
    let (here, there) = busy_link(&state);
    assert!(counters(&state, here).in_octets > 1_000_000);
    for (device, running) in state.devices.iter().enumerate() {
        let mut by_interface: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
        for (key, (octets, packets)) in &running.flows {
            let sum = by_interface.entry(key.input).or_default();
            (sum.0, sum.1) = (sum.0 + octets, sum.1 + packets);
        }
        for (at, interface) in running.interfaces.iter().enumerate() {
            let flows = by_interface.get(&at).copied().unwrap_or_default();
            assert_eq!(flows, (interface.counters.in_octets, interface.counters.in_packets), "{device} {at}");
            if let Some(far) = interface.far {
                assert_eq!(interface.counters.in_octets, counters(&state, far).out_octets, "{device} {at}");
            }
        }
    }
    assert_eq!(counters(&state, here).in_octets, counters(&state, there).out_octets);
}

#[test]
fn an_interface_that_is_switched_off_takes_its_link_session_and_traffic_away_and_back() {
    let mut state = running(30);
    let (here, there) = busy_link(&state);
    let (_, interface) = names(&state, here);
    let path: helios_gnmi::Path = format!("/interfaces/interface[name={interface}]/config/enabled").parse().unwrap();
    edit::update(&mut state.devices[here.0].config, &path.elem, &json!(false)).unwrap();
    state.settle();
    let before = (counters(&state, here), counters(&state, there));
    run(&mut state, 30);
    assert_eq!((counters(&state, here), counters(&state, there)), before, "nothing passes");
    for (device, at) in [here, there] {
        assert!(!state.devices[device].interfaces[at].up);
        let sessions = state.devices[device].sessions.iter().filter(|session| session.interface == at);
        assert!(sessions.clone().count() > 0 && sessions.clone().all(|session| session.state == SessionState::Active));
    }
    let elsewhere: u64 =
        state.devices.iter().flat_map(|device| &device.interfaces).map(|interface| interface.counters.in_octets).sum();
    run(&mut state, 10);
    let later: u64 =
        state.devices.iter().flat_map(|device| &device.interfaces).map(|interface| interface.counters.in_octets).sum();
    assert!(later > elsewhere, "traffic takes another way");

    edit::update(&mut state.devices[here.0].config, &path.elem, &json!(true)).unwrap();
    run(&mut state, 30);
    assert!(counters(&state, here).in_octets > before.0.in_octets, "traffic is back");
    let session = state.devices[here.0].sessions.iter().find(|session| session.interface == here.1).unwrap();
    assert_eq!((session.state, session.transitions), (SessionState::Established, 2));
}

#[test]
fn each_fault_does_its_own_and_undoing_ends_it() {
    let mut state = running(30);
    let (here, there) = busy_link(&state);
    let (device, interface) = names(&state, here);
    switch(&mut state, FaultKind::LinkDown, &device, Some(&interface), false);
    assert!(!state.devices[here.0].interfaces[here.1].up && !state.devices[there.0].interfaces[there.1].up);
    assert!(state.is_enabled(here.0, here.1), "the port is not switched off");
    switch(&mut state, FaultKind::LinkDown, &device, Some(&interface), true);
    run(&mut state, 10);

    switch(&mut state, FaultKind::Errors, &device, Some(&interface), false);
    run(&mut state, 20);
    let errors = counters(&state, here).in_errors;
    assert!(errors > 0);
    assert!(counters(&state, here).in_octets < counters(&state, there).out_octets, "damaged packets do not arrive");
    switch(&mut state, FaultKind::Errors, &device, Some(&interface), true);
    run(&mut state, 20);
    assert_eq!(counters(&state, here).in_errors, errors);

    let transitions =
        |state: &State| state.devices[here.0].sessions.iter().map(|session| session.transitions).sum::<u64>();
    let before = transitions(&state);
    switch(&mut state, FaultKind::BgpFlap, &device, None, false);
    run(&mut state, 120);
    assert!(transitions(&state) >= before + 2 * state.devices[here.0].sessions.len() as u64);
    switch(&mut state, FaultKind::BgpFlap, &device, None, true);
    run(&mut state, 10);
    assert!(state.devices[here.0].sessions.iter().all(|session| session.state == SessionState::Established));

    switch(&mut state, FaultKind::Cpu, &device, None, false);
    assert_eq!(tree::cpu_percent(&state, here.0), 97);
    assert_eq!(state.faults.list(&state).len(), 1);
    switch(&mut state, FaultKind::Cpu, &device, None, true);
    assert!(tree::cpu_percent(&state, here.0) < 30);
    assert_eq!(state.faults, Faults::default());
}

#[test]
fn a_fault_of_what_does_not_exist_says_so() {
    let mut state = running(1);
    let mut refused = |fault, device: &str, interface: Option<&str>| {
        Switch { fault, device: device.into(), interface: interface.map(Into::into), undo: false }
            .apply(&mut state)
            .unwrap_err()
    };
    assert!(refused(FaultKind::Cpu, "nobody", None).contains("no device nobody"));
    assert!(refused(FaultKind::Errors, "zrh-core-1", None).contains("name the interface"));
    let unknown = refused(FaultKind::LinkDown, "zrh-core-1", Some("Ethernet99"));
    assert!(unknown.contains("no interface Ethernet99, only Ethernet1, Ethernet2"), "{unknown}");
    assert!(refused(FaultKind::Cpu, "zrh-core-1", Some("Ethernet1")).contains("DEVICE alone"));
}

fn configure(state: &mut State, device: usize, path: &str, value: &serde_json::Value) {
    let path: helios_gnmi::Path = path.parse().unwrap();
    edit::update(&mut state.devices[device].config, &path.elem, value).unwrap();
    state.settle();
}

const PROTOCOLS: &str = "/network-instances/network-instance[name=default]/protocols";

#[test]
fn a_high_metric_empties_a_link_and_overload_a_device() {
    let mut state = running(10);
    let (here, there) = busy_link(&state);
    for (device, at) in [here, there] {
        let name = state.description.devices[device].interfaces[at].name.clone();
        let isis = format!("{PROTOCOLS}/protocol[identifier=ISIS][name=isis]/isis");
        let family = "levels/level[level-number=2]/afi-safi/af[afi-name=IPV4][safi-name=UNICAST]";
        let path = format!("{isis}/interfaces/interface[interface-id={name}]/{family}/config/metric");
        configure(&mut state, device, &path, &json!(16_777_214));
    }
    let before = (counters(&state, here), counters(&state, there));
    run(&mut state, 30);
    assert_eq!((counters(&state, here), counters(&state, there)), before);
    assert!(state.demands.iter().all(|demand| !demand.path.is_empty()), "the traffic goes another way");

    let core = state.device("zrh-core-1").unwrap();
    let passing = |state: &State| state.devices[core].flows.len();
    state.devices[core].flows.clear();
    run(&mut state, 5);
    assert!(passing(&state) > 0);
    let path =
        format!("{PROTOCOLS}/protocol[identifier=ISIS][name=isis]/isis/global/lsp-bit/overload-bit/config/set-bit");
    configure(&mut state, core, &path, &json!(true));
    state.devices[core].flows.clear();
    run(&mut state, 5);
    assert_eq!(passing(&state), 0);
}

#[test]
fn what_a_static_route_discards_is_seen_where_it_comes_in_and_nowhere_else() {
    let mut state = running(1);
    let server = std::net::Ipv4Addr::new(198, 51, 100, 10);
    let path = format!("{PROTOCOLS}/protocol[identifier=STATIC][name=static]/static-routes/static[prefix={server}/32]");
    let route = json!({"prefix": format!("{server}/32"), "next-hops": {"next-hop": [
        {"index": "0", "config": {"index": "0", "next-hop": "DROP"}}]}});
    for device in &mut state.devices {
        device.flows.clear();
    }
    configure(&mut state, 0, &path, &route);
    assert!(state.is_discarded(server));
    run(&mut state, 30);
    let octets = |discarded: bool| -> u64 {
        let flows = state.devices.iter().flat_map(|device| &device.flows);
        flows.filter(|(key, _)| key.output.is_none() == discarded).map(|(_, (octets, _))| octets).sum()
    };
    assert!(octets(true) > 0 && octets(false) > octets(true));
    for (device, running) in state.devices.iter().enumerate() {
        for (key, _) in running.flows.iter().filter(|(key, _)| key.output.is_none()) {
            let demand = state.demand(key.demand).unwrap();
            assert_eq!((device, key.input), demand.from, "it is discarded where it comes in");
        }
    }
}
