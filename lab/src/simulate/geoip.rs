//! GeoIP databases that know the simulated addresses, for trying enrichment without anybody's licence.
//!
//! Countries and organisations of the prefixes are what public registries say of them; cities are left out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::mmdb::{Family, Writer, asn_record, city_record};
use helios_common::prefix::Prefix;

use super::internet;

/// Country and organisation of each AS that the simulated Internet has.
#[rustfmt::skip]
const NETWORKS: &[(u32, &str, &str)] = &[
    (209, "US", "Lumen"), (714, "US", "Apple"), (721, "US", "DoD Network Information Center"), (1_103, "NL", "SURF"),
    (1_136, "NL", "KPN"), (1_221, "AU", "Telstra"), (2_856, "GB", "British Telecommunications"), (2_906, "US", "Netflix"),
    (2_914, "JP", "NTT America"), (3_215, "FR", "Orange"), (3_320, "DE", "Deutsche Telekom"), (3_352, "ES", "Telefonica"),
    (4_713, "JP", "NTT Communications"), (4_766, "KR", "Korea Telecom"), (4_837, "CN", "China Unicom"),
    (5_607, "GB", "Sky UK"), (7_018, "US", "AT&T"), (7_922, "US", "Comcast"), (8_068, "US", "Microsoft"),
    (9_299, "PH", "PLDT"), (9_808, "CN", "China Mobile"), (12_322, "FR", "Free"), (13_335, "US", "Cloudflare"),
    (15_169, "US", "Google"), (16_509, "US", "Amazon"), (17_676, "JP", "SoftBank"), (20_712, "GB", "Andrews & Arnold"),
    (29_518, "SE", "Bredband2"), (31_377, "US", "Akamai"), (32_934, "US", "Meta"), (35_908, "BT", "Bhutan Telecom"),
    (35_994, "US", "Akamai"), (54_113, "US", "Fastly"),
];

/// Writes `city.mmdb` and `asn.mmdb` to `directory` and returns their paths.
///
/// # Errors
/// The file system's.
pub fn write(directory: &Path) -> io::Result<[PathBuf; 2]> {
    fs::create_dir_all(directory)?;
    let mut city = Writer::new("GeoLite2-City").family(Family::V6);
    let mut asn = Writer::new("GeoLite2-ASN").family(Family::V6);
    for (address, length, number) in internet::networks() {
        let Some((_, country, organisation)) = NETWORKS.iter().find(|(known, ..)| *known == number) else { continue };
        let Some(prefix) = Prefix::new(address, length) else { continue };
        let place = city.record(&city_record(country, None));
        city.insert(prefix, place);
        let origin = asn.record(&asn_record(number, organisation));
        asn.insert(prefix, origin);
    }
    let paths = [directory.join("city.mmdb"), directory.join("asn.mmdb")];
    city.write(&paths[0])?;
    asn.write(&paths[1])?;
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_simulated_network_has_a_country_and_an_organisation() {
        for (address, length, number) in internet::networks() {
            assert!(NETWORKS.iter().any(|(known, ..)| *known == number), "{address}/{length} of AS {number}");
        }
        assert!(NETWORKS.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted, so that none is there twice");
    }

    #[test]
    fn the_enricher_takes_the_databases() {
        let directory = tempfile::tempdir().unwrap();
        for path in write(directory.path()).unwrap() {
            assert!(fs::metadata(path).unwrap().len() > 1000);
        }
    }
}
