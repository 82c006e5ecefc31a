//! Names of gnmic's targets.
//!
//! gnmic's Kubernetes locker makes a Lease name and a label of `gnmic-<cluster>-targets-<name>`, which has to be a DNS label
//! of at most 63 octets (RFC 1123 §2.1): lower-case letters, digits and hyphens, a letter or digit at both ends.

/// Octets of a name; leaves 23 for `gnmic-<cluster>-targets-`, so a cluster's name may have 8.
pub(crate) const NAME_LEN_MAX: usize = 40;

/// Octets of the hash that ends a name which was too long.
const HASH_LEN: usize = 8;

/// The name of a device as a DNS label; empty if nothing of it is left. Two devices may get the same one.
pub(crate) fn dns_label(device: &str) -> String {
    let mut label = String::with_capacity(device.len());
    for char in device.chars() {
        match char.to_ascii_lowercase() {
            char @ ('a'..='z' | '0'..='9') => label.push(char),
            _ if !label.ends_with('-') && !label.is_empty() => label.push('-'),
            _ => {}
        }
    }
    label.truncate(label.trim_end_matches('-').len());
    if label.len() > NAME_LEN_MAX {
        label.truncate(NAME_LEN_MAX - HASH_LEN - 1);
        label.truncate(label.trim_end_matches('-').len());
        label.push_str(&format!("-{:08x}", stable_hash(device) as u32));
    }
    label
}

/// A hash of a text that is the same in every version of Helios and on every machine: FNV-1a of 64 bits
/// (draft-eastlake-fnv), mixed once more so that every bit depends on every octet.
pub(crate) fn stable_hash(text: &str) -> u64 {
    let fnv = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3));
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_become_dns_labels() {
        for (device, label) in [
            ("edge-1", "edge-1"),
            ("Edge_1.zrh.example.net", "edge-1-zrh-example-net"),
            ("  (core)  ", "core"),
            ("2001:db8::1", "2001-db8-1"),
            ("Zürich/1", "z-rich-1"),
            ("東京", ""),
        ] {
            assert_eq!(dns_label(device), label, "{device}");
        }
    }

    #[test]
    fn long_names_differ_where_their_devices_do() {
        let (one, two) = ("r".repeat(60) + "1", "r".repeat(60) + "2");
        assert_ne!(dns_label(&one), dns_label(&two));
        assert_eq!(dns_label(&one).len(), NAME_LEN_MAX);
    }

    proptest! {
        #[test]
        fn every_name_is_a_dns_label_or_empty(device in any::<String>()) {
            let label = dns_label(&device);
            prop_assert!(label.len() <= NAME_LEN_MAX);
            prop_assert!(label.bytes().all(|octet| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-')));
            prop_assert!(!label.starts_with('-') && !label.ends_with('-'));
            prop_assert_eq!(dns_label(&label), label);
        }
    }
}
