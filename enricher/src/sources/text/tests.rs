//! Lists as people write them, and what they get told.

use helios_common::exporter::ip_of;

use super::*;

fn read(format: NetworkFormat, text: &str) -> Result<Vec<String>, String> {
    let names = Names::new();
    let inventory = networks(format, text, &names)?;
    let view = names.read();
    let line = |network: &Network| {
        let texts = [network.vrf, network.name, network.site, network.role, network.tenant, network.country];
        format!("{} {} {}", network.prefix, texts.map(|id| view.get(id).to_owned()).join("|"), network.asn)
    };
    Ok(inventory.networks.iter().map(line).collect())
}

#[test]
fn a_csv_file_with_quotes_comments_and_empty_fields() {
    let text = "\u{feff}network, name, site, asn\n# offices\n10.1.0.0/16,\"Office, main\", fra, AS64500\n2001:db8::/32,lab,,\n192.0.2.7,host,,64501\n";
    assert_eq!(
        read(NetworkFormat::Csv, text).unwrap(),
        ["10.1.0.0/16 |Office, main|fra||| 64500", "2001:db8::/32 |lab|||| 0", "192.0.2.7/32 |host|||| 64501"]
    );
}

#[test]
fn a_yaml_list_and_json_are_the_same() {
    let yaml =
        "- {network: 10.0.0.0/8, tenant: acme, country: DE, vrf: red, asn: AS1}\n- network: 10.2.0.0/16\n  role: dmz\n";
    let json = r#"[{"network": "10.0.0.0/8", "tenant": "acme", "country": "DE", "vrf": "red", "asn": 1}, {"prefix": "10.2.0.0/16", "role": "dmz"}]"#;
    let expected = ["10.0.0.0/8 red||||acme|DE 1", "10.2.0.0/16 |||dmz|| 0"];
    assert_eq!(read(NetworkFormat::Yaml, yaml).unwrap(), expected);
    assert_eq!(read(NetworkFormat::Yaml, json).unwrap(), expected);
    assert_eq!(read(NetworkFormat::Yaml, "").unwrap(), [""; 0]);
}

#[test]
fn mistakes_are_told_with_their_place() {
    let csv = |text| read(NetworkFormat::Csv, text).unwrap_err();
    assert!(csv("10.0.0.0/8,office\n").contains("the first line has to name the columns"));
    assert!(csv("network,nam\n10.0.0.0/8,a\n").contains("nam"));
    assert_eq!(
        csv("network\n10.0.0.0/8\n10.0.0.0/33\n"),
        "line 3: `10.0.0.0/33` is no network: write it as 192.0.2.0/24 or 2001:db8::/32"
    );
    let asn = csv("network,asn\n10.0.0.0/8,ASX\n");
    assert!(asn.starts_with("line 2: ") && asn.contains("`ASX` is not an AS number"), "{asn}");
    assert_eq!(csv("network,name\n10.0.0.0/8\n"), "line 2: columns: 1, in the first line: 2");
    let yaml = read(NetworkFormat::Yaml, "- {network: 10.0.0.0/8, nmae: x}").unwrap_err();
    assert!(yaml.contains("nmae"), "{yaml}");
}

#[test]
fn devices_have_addresses_and_interfaces() {
    let names = Names::new();
    let text = "devices:\n- name: edge1\n  addresses: [192.0.2.1, '2001:db8::1']\n  site: fra\n  interfaces:\n  - {index: 7, name: xe-0/0/0, description: uplink, speed: 10G, role: transit}\n";
    let inventory = devices(text, &names).unwrap();
    let device = &inventory.devices[0];
    assert_eq!(
        device.addresses.iter().map(|&a| ip_of(a).to_string()).collect::<Vec<_>>(),
        ["192.0.2.1", "2001:db8::1"]
    );
    assert_eq!((device.interfaces[0].index, device.interfaces[0].speed), (7, 10_000_000_000));
    assert_eq!(names.read().get(device.interfaces[0].role), "transit");
    assert_eq!(inventory.len(), 2);
    let error = devices("devices:\n- site: fra\n", &names).unwrap_err();
    assert_eq!(error, "device 1: it has neither `name` nor `addresses`, no exporter can be it");
}

#[test]
fn rates_are_written_out_or_short() {
    let rates = ["1000", "100M", "10 Gbit/s", "1T", "fast"].map(bit_rate);
    assert_eq!(rates, [Some(1000), Some(100_000_000), Some(10_000_000_000), Some(1_000_000_000_000), None]);
}
