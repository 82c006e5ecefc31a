//! Names of information elements for generic decoding.
//!
//! netflow_parser names its fields by Rust identifiers. IANA's spelling does not follow from them by a rule.
//! Elements that Helios knows are named by [`helios_common::ie`]; all others by undoing what the crate did to the
//! registry's names, which differs from IANA's in letter case at most. NetFlow v9 shares the numbers (RFC 7012 §7.1).

use std::collections::HashMap;
use std::sync::LazyLock;

use helios_common::ie::{iana, info};
use netflow_parser::variable_versions::ipfix::lookup::{IANAIPFixField, IPFixField};
use netflow_parser::{IpfixField, V9Field};

/// No element of the registry has a higher number yet.
const LAST_ELEMENT: u16 = 600;

/// The crate converts numbers to fields, but not back.
static NUMBERS: LazyLock<HashMap<IANAIPFixField, u16>> =
    LazyLock::new(|| (0..=LAST_ELEMENT).map(|number| (IANAIPFixField::from(number), number)).collect());

/// The name of an IPFIX element: IANA's, or `enterprise/id` where there is none.
pub(super) fn ipfix(field: IpfixField) -> String {
    match field {
        IPFixField::IANA(IANAIPFixField::Unknown(number)) => format!("0/{number}"),
        IPFixField::IANA(field) => match NUMBERS.get(&field).and_then(|&number| info(iana(number))) {
            Some(element) => element.name.to_owned(),
            None => respelled(&format!("{field:?}")),
        },
        IPFixField::ReverseInformationElement(field) => respelled(&format!("{field:?}")),
        IPFixField::Cisco(field) => vendor("cisco", &format!("{field:?}")),
        IPFixField::Netscaler(field) => vendor("netscaler", &format!("{field:?}")),
        IPFixField::Nat(field) => vendor("nokia", &format!("{field:?}")),
        IPFixField::Yaf(field) => vendor("cert", &format!("{field:?}")),
        IPFixField::VMWare(field) => vendor("vmware", &format!("{field:?}")),
        IPFixField::Enterprise { enterprise_number, field_number } => format!("{enterprise_number}/{field_number}"),
    }
}

/// The number of an element of IANA's.
pub(super) fn number(field: IpfixField) -> Option<u16> {
    match field {
        IPFixField::IANA(field) => NUMBERS.get(&field).copied(),
        _ => None,
    }
}

/// The name of a NetFlow v9 field type: that of the element with its number.
pub(super) fn netflow9(field: V9Field) -> String {
    let number = u16::from(field);
    match info(iana(number)) {
        Some(element) => element.name.to_owned(),
        None => ipfix(IPFixField::IANA(IANAIPFixField::from(number))),
    }
}

fn vendor(name: &str, field: &str) -> String {
    format!("{name}.{}", respelled(field))
}

/// `PostNatsourceIpv4address` becomes `postNATSourceIPv4Address`.
fn respelled(identifier: &str) -> String {
    /// Words that the registry writes in another case than the crate's identifiers, and behind which a new word
    /// begins.
    const WORDS: &[(&str, &str)] = &[
        ("Ipv4", "IPv4"),
        ("Ipv6", "IPv6"),
        ("Napt", "NAPT"),
        ("PostNats", "PostNATS"),
        ("PostNatd", "PostNATD"),
        ("Mcast", "MCast"),
        ("Ttl", "TTL"),
        ("Vrfid", "VRFID"),
        ("Ipaddress", "IPAddress"),
    ];
    let mut name = identifier.to_owned();
    for (crates, registrys) in WORDS {
        name = name.replace(crates, registrys);
    }
    let mut spelled = String::with_capacity(name.len());
    for letter in name.chars() {
        let begins = ["IPv4", "IPv6", "Mac", "NAPT"].iter().any(|word| spelled.ends_with(word));
        spelled.push(if begins { letter.to_ascii_uppercase() } else { letter });
    }
    match spelled.strip_prefix("IPv") {
        Some(rest) => format!("ipv{rest}"),
        None => {
            let mut letters = spelled.chars();
            letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_common::ie::ELEMENTS;

    #[test]
    fn the_crates_identifiers_turn_into_the_registrys_names() {
        for element in ELEMENTS.iter().filter(|element| element.ie.id < LAST_ELEMENT) {
            let field = IANAIPFixField::from(element.ie.id);
            if matches!(field, IANAIPFixField::Unknown(_)) {
                continue;
            }
            let spelled = respelled(&format!("{field:?}"));
            assert!(spelled.eq_ignore_ascii_case(element.name), "{}: {spelled}, not {}", element.ie.id, element.name);
            assert_eq!(ipfix(IPFixField::IANA(field)), element.name);
        }
    }

    #[test]
    fn elements_without_a_column_have_their_name_too() {
        for (number, name) in [
            (3, "deltaFlowCount"),
            (19, "postMCastPacketDeltaCount"),
            (47, "mplsTopLabelIPv4Address"),
            (64, "ipv6ExtensionHeaders"),
            (130, "exporterIPv4Address"),
            (206, "isMulticast"),
            (365, "staMacAddress"),
            (367, "wtpMacAddress"),
            (379, "distinctCountOfDestinationIPAddress"),
        ] {
            assert_eq!(ipfix(IpfixField::new(number, None)), name);
        }
        assert_eq!(ipfix(IpfixField::new(599, None)), "0/599");
        assert_eq!(ipfix(IpfixField::new(137, Some(2636))), "2636/137");
        assert_eq!(ipfix(IpfixField::new(1, Some(29305))), "reverseOctetDeltaCount");
    }

    #[test]
    fn netflow9_types_have_the_elements_names() {
        assert_eq!(netflow9(V9Field::from(1)), "octetDeltaCount");
        assert_eq!(netflow9(V9Field::from(27)), "sourceIPv6Address");
        assert_eq!(netflow9(V9Field::from(40_001)), "postNATSourceIPv4AddressAsa");
    }
}
