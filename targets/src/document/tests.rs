use super::*;
use crate::config::{GnmiConfig, GnmiTlsConfig, GnmiTlsMode, ProbesConfig, ProfileConfig, SnmpConfig, TargetsConfig};
use crate::device::{Device, Named, Source};
use crate::difference::{Difference, render_left_out};
use crate::parts;
use proptest::prelude::*;

fn device(id: u32, name: &str, address: &str) -> Device {
    Device {
        name: name.to_owned(),
        status: "active".to_owned(),
        monitored: true,
        address: address.parse().ok(),
        site: Named { name: "Zurich".into(), slug: "zrh".into() },
        region: "Europe".into(),
        role: Named::plain("Edge Router"),
        platform: Named::plain("eos"),
        ..Device::new(Source::Device(id))
    }
}

fn everything() -> TargetsConfig {
    let tls = GnmiTlsConfig { mode: GnmiTlsMode::SkipVerify, ..GnmiTlsConfig::default() };
    let gnmi = GnmiConfig { tls, password_variable: Some("GNMIC_PW_EDGE".into()), ..GnmiConfig::default() };
    let snmp = SnmpConfig { modules: vec!["if_mib".into(), "printers".into(), "ups".into()], ..SnmpConfig::default() };
    let probes = ProbesConfig { icmp: true, tcp: vec![22, 9339] };
    let profile =
        ProfileConfig { name: "all".into(), gnmi: Some(gnmi), snmp: Some(snmp), probes, ..ProfileConfig::default() };
    TargetsConfig { profiles: vec![profile], ..TargetsConfig::default() }
}

fn documents(devices: Vec<Device>) -> Documents {
    Documents::of(&Plan::new(devices, &everything()))
}

#[test]
fn the_collectors_files_look_like_this() {
    let documents = documents(vec![device(2, "edge-2", "2001:db8::2"), device(1, "Edge_1", "192.0.2.1")]);
    let labels = |name: &str| {
        format!(r#""device":"{name}","site":"Zurich","region":"Europe","role":"Edge Router","platform":"eos""#)
    };
    let (one, two) = (labels("Edge_1"), labels("edge-2"));
    let options = r#""subscriptions":["interfaces","bgp","system","platform","lldp"],"encoding":"json_ietf","skip-verify":true,"password":"${GNMIC_PW_EDGE}""#;
    assert_eq!(
        documents.render(ListKind::Gnmic),
        format!(
            "# Written by `helios targets`. Changes are overwritten.\n\
             \"edge-1\": {{\"address\":\"192.0.2.1:9339\",{options},\"event-tags\":{{{one}}}}}\n\
             \"edge-2\": {{\"address\":\"[2001:db8::2]:9339\",{options},\"event-tags\":{{{two}}}}}\n"
        )
    );
    assert_eq!(
        documents.render(ListKind::Snmp),
        format!(
            "[\n\
             {{\"targets\":[\"192.0.2.1\"],\"labels\":{{\"__param_module\":\"printers,ups\",\"__param_auth\":\"helios_v3\",{one}}}}},\n\
             {{\"targets\":[\"2001:db8::2\"],\"labels\":{{\"__param_module\":\"printers,ups\",\"__param_auth\":\"helios_v3\",{two}}}}}\n\
             ]\n"
        )
    );
    let icmp = documents.render(ListKind::Icmp);
    assert!(
        icmp.contains(r#""icmp4""#) && icmp.contains(r#"["2001:db8::2"],"labels":{"__param_module":"icmp6""#),
        "{icmp}"
    );
    let tcp = documents.render(ListKind::Tcp);
    assert!(tcp.contains(r#"["[2001:db8::2]:22"]"#) && tcp.contains(r#""port":"9339""#), "{tcp}");
    assert_eq!((documents.len(ListKind::Tcp), documents.len(ListKind::Icmp)), (4, 2));
}

#[test]
fn probes_say_that_a_device_is_in_maintenance_and_counters_keep_their_labels() {
    let working = device(1, "edge-1", "192.0.2.1");
    let (before, during) = (documents(vec![working.clone()]), documents(vec![Device { maintenance: true, ..working }]));
    for kind in [ListKind::Icmp, ListKind::Tcp] {
        assert!(!before.render(kind).contains("maintenance"));
        assert!(during.render(kind).contains(r#""maintenance":"true""#), "{}", during.render(kind));
    }
    for kind in [ListKind::Gnmic, ListKind::Snmp] {
        assert_eq!(before.render(kind), during.render(kind));
    }
}

#[test]
fn no_targets_are_documents_too() {
    let none = Documents::default();
    assert!(none.render(ListKind::Gnmic).ends_with("\n{}\n"));
    assert_eq!(none.render(ListKind::Icmp), "[\n]\n");
    for kind in ListKind::ALL {
        assert_eq!(Document::parse(kind, &none.render(kind)), Ok(Document::default()));
    }
}

#[test]
fn the_difference_says_what_changes_for_which_device_and_why() {
    let (one, two, three) =
        (device(1, "edge-1", "192.0.2.1"), device(2, "edge-2", "192.0.2.2"), device(3, "edge-3", "192.0.2.3"));
    let published = documents(vec![one.clone(), two.clone(), three.clone(), device(9, "old", "192.0.2.9")]);
    let moved = Device { address: "192.0.2.22".parse().ok(), site: Named::plain("Bern"), ..two };
    let planned = vec![device(4, "new", "192.0.2.4"), one, moved, Device { status: "offline".into(), ..three }];
    let plan = Plan::new(planned, &everything());
    let difference = Difference::new(&published, &Documents::of(&plan), &plan);
    assert_eq!(
        difference.render(),
        "~ edge-2: gnmic address 192.0.2.2:9339 -> 192.0.2.22:9339; site Zurich -> Bern; snmp address 192.0.2.2 -> \
         192.0.2.22; icmp address 192.0.2.2 -> 192.0.2.22; tcp address 192.0.2.2:22 -> 192.0.2.22:22; tcp address \
         192.0.2.2:9339 -> 192.0.2.22:9339\n\
         - edge-3: gnmic 192.0.2.3:9339, snmp 192.0.2.3, icmp 192.0.2.3, tcp 192.0.2.3:22, tcp 192.0.2.3:9339 (its \
         status is offline)\n\
         + new: gnmic 192.0.2.4:9339, snmp 192.0.2.4, icmp 192.0.2.4, tcp 192.0.2.4:22, tcp 192.0.2.4:9339 (profile \
         all)\n\
         - old: gnmic 192.0.2.9:9339, snmp 192.0.2.9, icmp 192.0.2.9, tcp 192.0.2.9:22, tcp 192.0.2.9:9339 (neither \
         NetBox nor the static targets have it)\n"
    );
    assert_eq!(difference.summary(), "1 devices added, 1 changed, 2 gone, 1 unchanged");
    assert_eq!(render_left_out(&plan), "left out, its status is offline: edge-3 (NetBox device 3)\n");
}

/// 8,000 devices with every collector: how large the parts get, and that a device more moves no other one.
#[test]
fn eight_thousand_devices_split_and_stay_where_they_are() {
    let devices: Vec<Device> = (0..8000_u32)
        .map(|id| device(id, &format!("router-{id:05}.pop.example.net"), &format!("10.0.{}.{}", id / 250, id % 250)))
        .collect();
    let before = documents(devices.clone());
    let more = device(9000, "router-new.pop.example.net", "10.9.9.9");
    let after = documents(devices.into_iter().chain([more]).collect());
    let limit = crate::parts::PART_BYTES;
    for kind in ListKind::ALL {
        let (before, after) = (before.get(kind).unwrap(), after.get(kind).unwrap());
        let count = parts::count(kind, before, limit, 1, 0).unwrap();
        let texts = parts::split(kind, before, count);
        assert!(texts.iter().all(|text| text.len() <= limit), "{}: a part is beyond its limit", kind.name());
        let whole = before.render(kind).len();
        assert!(count as usize <= whole / limit + 2, "{}: {count} parts for {whole} bytes", kind.name());
        let mut read = Document::default();
        texts.iter().for_each(|text| read.extend(Document::parse(kind, text).unwrap()));
        assert_eq!(&read, before, "the parts hold every target once");
        assert_eq!(parts::count(kind, after, limit, 1, count), Ok(count));
        let changed = texts.iter().zip(parts::split(kind, after, count)).filter(|(old, new)| **old != *new).count();
        assert!(changed <= 2, "{}: {changed} of {count} parts changed for one device", kind.name());
    }
}

#[test]
fn parts_are_added_when_they_are_full_and_given_up_when_half_would_do() {
    let devices = (0..400_u32).map(|id| device(id, &format!("r{id}"), &format!("10.0.{}.{}", id / 200, id % 200)));
    let documents = documents(devices.collect());
    let icmp = documents.get(ListKind::Icmp).unwrap();
    let count = |at_least, published| parts::count(ListKind::Icmp, icmp, 16_384, at_least, published).unwrap();
    let needed = count(1, 0);
    assert!((4..8).contains(&needed), "{needed}");
    assert_eq!((count(1, needed - 1), count(1, needed + 1)), (needed, needed + 1));
    assert_eq!((count(1, 2 * needed), count(1, 2 * needed + 1), count(20, 0)), (2 * needed, needed, 20));
}

proptest! {
    /// Whatever a name in NetBox holds: one line for each target, and what was written is read back.
    #[test]
    fn what_is_written_is_read_back(names in proptest::collection::vec((any::<String>(), any::<String>()), 0..12)) {
        let devices = names.into_iter().enumerate().map(|(at, (name, site))| {
            let at = at as u32;
            Device { site: Named::plain(site), ..device(at, &format!("x{at}{name}"), &format!("192.0.2.{at}")) }
        });
        let documents = documents(devices.collect());
        for kind in ListKind::ALL {
            let text = documents.render(kind);
            let document = documents.get(kind).cloned().unwrap_or_default();
            let written: usize = document.entries().map(|(key, value)| Document::rendered_len(key, value)).sum();
            prop_assert!(text.len() <= written + 128);
            prop_assert_eq!(Document::parse(kind, &text), Ok(document));
        }
    }

    /// An independent reader of YAML sees the same.
    #[test]
    fn gnmics_file_is_yaml(site in any::<String>()) {
        let one = Device { site: Named::plain(site.clone()), ..device(1, "edge-1", "192.0.2.1") };
        let text = documents(vec![one]).render(ListKind::Gnmic);
        let read: BTreeMap<String, Value> = serde_saphyr::from_str(&text).unwrap();
        let tags = &read["edge-1"]["event-tags"];
        prop_assert_eq!(tags.get("site").and_then(Value::as_str).unwrap_or_default(), site);
    }
}
