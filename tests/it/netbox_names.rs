//! What an exporter says of itself and what NetBox knows meet in the rows: VRFs by number, interfaces by name, and sFlow
//! agents behind another address.

use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use helios_collector::encode::sflow5::records::SampledIpv4;
use helios_collector::encode::sflow5::{self, FlowSample, Source};
use helios_collector::encode::{Field, field, ipfix, netflow5};
use helios_testkit::Engine;
use helios_testkit::netbox::lifelike::{Address, Device, Interface, Network, On, Prefix, Scope, Site, Vrf};
use helios_testkit::netbox::{Server, TOKEN, World};

use crate::running::{Helios, free_udp_port, wait_for};

const FLOWS: u16 = 256;
const INTERFACES: u16 = 257;
const VRFS: u16 = 258;

/// Addresses, interfaces, VRF, packets, octets.
const FLOW_FIELDS: [Field; 7] =
    [field(8, 4), field(12, 4), field(10, 4), field(14, 4), field(234, 4), field(2, 8), field(1, 8)];

/// The PE `pe1` at 127.0.0.2 and ::1 with two ports that have no ifIndex, the switch `leaf1` at 192.0.2.77 and
/// 2001:db8::77, and two customers with the same network at two sites.
fn network() -> Network {
    let mut network = Network::default();
    for (id, name) in [(1, "Zürich"), (2, "Genève")] {
        network.sites.insert(id, Site { name: name.into(), region: None, asns: Vec::new() });
    }
    for (id, name, rd) in [(1, "red", "64500:1"), (2, "blue", "64500:2")] {
        network.vrfs.insert(id, Vrf { name: name.into(), rd: Some(rd.into()) });
    }
    for (id, name, address) in [(1_u32, "pe1", ["127.0.0.2", "::1"]), (2, "leaf1", ["192.0.2.77", "2001:db8::77"])] {
        let interface = id * 10;
        let device = Device {
            name: Some(name.into()),
            site: 1,
            role: "Edge",
            tenant: None,
            primary4: Some(id),
            primary6: Some(id + 10),
            master: None,
        };
        network.devices.insert(id, device);
        for (port, name) in [(0, "GigabitEthernet0/0/1"), (1, "GigabitEthernet0/0/2")] {
            let description = if port == 0 { "Transit: Arelion" } else { "" }.to_owned();
            let port = Interface {
                device: id,
                name: name.into(),
                description,
                kind: "10gbase-x-sfpp",
                lag: None,
                vrf: None,
                ifindex: None,
            };
            network.interfaces.insert(interface + u32::from(network.interfaces.contains_key(&interface)), port);
        }
        for (id, bits, address) in [(id, 32, address[0]), (id + 10, 64, address[1])] {
            let address = address.parse().unwrap();
            network.addresses.insert(id, Address { address, bits, vrf: None, on: On::Interface(interface) });
        }
    }
    let prefixes = [("10.1.0.0", 16, Some(1), 1), ("10.1.2.0", 24, Some(2), 2), ("10.0.0.0", 8, None, 1)];
    for (id, (network_address, bits, vrf, site)) in (1..).zip(prefixes) {
        let (network_address, scope) = (network_address.parse().unwrap(), Scope::Site(site));
        let prefix = Prefix { network: network_address, bits, vrf, scope, role: None, tenant: None };
        network.prefixes.insert(id, prefix);
    }
    network
}

/// Text in a field of fixed length.
fn padded(text: &str, octets: usize) -> Vec<u8> {
    let mut padded = text.as_bytes().to_vec();
    padded.resize(octets, 0);
    padded
}

/// Options data of interfaces and VRFs, and a flow of each customer and of none, in by 7 and out by 8.
fn ipfix_message() -> Vec<u8> {
    let mut octets = Vec::new();
    let mut message = ipfix::Message::begin(&ipfix::Header::default(), &mut octets);
    message.options_template(INTERFACES, 1, &[field(10, 4), field(82, 16), field(83, 16)]);
    message.options_template(VRFS, 1, &[field(234, 4), field(236, 16)]);
    message.template(FLOWS, &FLOW_FIELDS);
    message.data(INTERFACES, |out| {
        for (index, name, description) in [(7_u32, "Gi0/0/1", ""), (8, "Gi0/0/2", "said by itself")] {
            out.extend(index.to_be_bytes());
            out.extend(padded(name, 16));
            out.extend(padded(description, 16));
        }
    });
    message.data(VRFS, |out| {
        // One by its name, one by its route distinguisher.
        for (id, name) in [(101_u32, "red"), (102, "64500:2")] {
            out.extend(id.to_be_bytes());
            out.extend(padded(name, 16));
        }
    });
    message.data(FLOWS, |out| {
        for vrf in [101_u32, 102, 0] {
            out.extend([10, 1, 2, 3]);
            out.extend([10, 1, 2, 4]);
            out.extend([7_u32, 8, vrf].map(u32::to_be_bytes).concat());
            out.extend([1_u64, 100].map(u64::to_be_bytes).concat());
        }
    });
    octets
}

fn sflow_message(agent: &str) -> Vec<u8> {
    let agent: IpAddr = agent.parse().unwrap();
    let mut octets = Vec::new();
    let header = sflow5::Header { agent, sub_agent_id: 0, sequence: 1, uptime_ms: 1000 };
    let sample = FlowSample {
        sequence: 1,
        source: Source { class: 0, index: 3 },
        sampling_rate: 1,
        sample_pool: 1,
        drops: 0,
        input: sflow5::Interface::Index(3),
        output: sflow5::Interface::Index(4),
    };
    let packet = SampledIpv4 {
        length: 100,
        protocol: 17,
        src: [198, 51, 100, 1],
        dst: [198, 51, 100, 2],
        src_port: 1,
        dst_port: 2,
        tcp_flags: 0,
        tos: 0,
    };
    sflow5::Message::begin(&header, &mut octets).flow_sample(&sample, |records| records.sampled_ipv4(&packet));
    octets
}

/// A NetBox with this network, and a `helios run` that has read its two devices.
fn start(network: Network, engine: &Engine, folder: &Path, arguments: &[&str]) -> (Server, Helios) {
    let netbox = Server::start(World { network: Some(Arc::new(network)), ..World::default() });
    let token = folder.join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let settings = [
        format!("netbox.url={}", netbox.url()),
        format!("netbox.token_file={}", token.display()),
        "enricher.reload_interval_ms=20".to_owned(),
    ];
    let helios = Helios::start_on(free_udp_port(), &engine.url(), &settings.each_ref().map(String::as_str), arguments);
    wait_for("NetBox's devices", || (helios.metric("helios_enricher_devices")? >= 2.0).then_some(()));
    (netbox, helios)
}

/// NetBox takes 200 characters for a description, which are up to 800 octets in UTF-8.
#[test]
fn a_description_that_is_longer_than_a_name_may_be_is_cut_and_counted() {
    let engine = Engine::start();
    let folder = tempfile::tempdir().unwrap();
    let mut network = network();
    network.interfaces.get_mut(&10).unwrap().description = "ж".repeat(200);
    let (_netbox, helios) = start(network, &engine, folder.path(), &[]);
    // It is counted whenever the names are read.
    assert!(helios.metric("helios_pipeline_names_cut_total") >= Some(1.0));
    UdpSocket::bind("127.0.0.2:0").unwrap().send_to(&ipfix_message(), helios.flows).unwrap();
    wait_for("the rows to be stored", || (helios.metric("helios_pipeline_rows_stored_total")? == 3.0).then_some(()));
    let descriptions = engine.query("SELECT DISTINCT in_if_description, out_if_description FROM helios.flows");
    assert_eq!(descriptions, format!("{}\tsaid by itself\n", "ж".repeat(127)));
}

#[test]
fn vrfs_names_of_interfaces_and_agents_lead_to_netboxs_objects() {
    let engine = Engine::start();
    let folder = tempfile::tempdir().unwrap();
    let over_ipv6 = free_udp_port();
    let (_netbox, helios) = start(network(), &engine, folder.path(), &["--listen", &format!("[::1]:{over_ipv6}")]);
    let socket = UdpSocket::bind("127.0.0.2:0").unwrap();
    for message in
        [ipfix_message(), sflow_message("192.0.2.77"), sflow_message("192.0.2.99"), sflow_message("2001:db8::77")]
    {
        socket.send_to(&message, helios.flows).unwrap();
    }
    let mut message = Vec::new();
    netflow5::message(&netflow5::Header::default(), &[netflow5::Record::default()], &mut message);
    UdpSocket::bind("[::1]:0").unwrap().send_to(&message, ("::1", over_ipv6)).unwrap();
    wait_for("the rows to be stored", || (helios.metric("helios_pipeline_rows_stored_total")? == 7.0).then_some(()));

    let vrfs = engine.query(
        "SELECT ingress_vrf_id, vrf_name, src_network, src_site, dst_network FROM helios.flows
         WHERE export_protocol = 'ipfix' ORDER BY ingress_vrf_id",
    );
    let expected = "0\t\t10.0.0.0/8\tZürich\t10.0.0.0/8\n\
                    101\tred\t10.1.0.0/16\tZürich\t10.1.0.0/16\n\
                    102\t64500:2\t10.1.2.0/24\tGenève\t10.1.2.0/24\n";
    assert_eq!(vrfs, expected);

    let interfaces = engine.query(
        "SELECT DISTINCT exporter_name, in_if_index, in_if_name, in_if_description, in_if_speed,
                out_if_index, out_if_name, out_if_description, out_if_speed
         FROM helios.flows WHERE export_protocol = 'ipfix'",
    );
    // The name is as the exporter says it; description and speed are NetBox's, unless the exporter has its own.
    let expected = "pe1\t7\tGi0/0/1\tTransit: Arelion\t10000000000\t8\tGi0/0/2\tsaid by itself\t10000000000\n";
    assert_eq!(interfaces, expected);

    let over_ipv6 =
        "SELECT toString(exporter_address), exporter_name FROM helios.flows WHERE export_protocol = 'netflow5'";
    assert_eq!(engine.query(over_ipv6), "::1\tpe1\n");

    let agents = engine.query(
        "SELECT toString(exporter_address), exporter_name FROM helios.flows
         WHERE export_protocol LIKE 'sflow%' ORDER BY exporter_name",
    );
    assert_eq!(agents.lines().count(), 3, "{agents}");
    let named = |agent: &str, name: &str| agents.lines().any(|line| line.contains(agent) && line.ends_with(name));
    for agent in ["192.0.2.77", "2001:db8::77"] {
        assert!(named(agent, "\tleaf1"), "the agent {agent} goes before the socket: {agents}");
    }
    assert!(named("192.0.2.99", "\tpe1"), "of an agent that nobody knows the socket counts: {agents}");
}
