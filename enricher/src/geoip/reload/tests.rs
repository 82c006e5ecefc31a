//! Files as they are replaced in practice, one look at a time.

use std::fs;
use std::os::unix::fs::symlink;

use helios_common::exporter::address_of;
use tempfile::TempDir;

use super::*;
use helios_lab::mmdb::{Record, Writer, asn_record, city_record};

/// A directory with two databases, and what is loaded from them.
struct Site {
    directory: TempDir,
    names: Arc<Names>,
    files: Files,
    geo: Addresses,
}

/// What a look at the files did.
#[derive(Debug, PartialEq)]
enum Look {
    Nothing,
    NewTable,
}

fn city_bytes(city: &str) -> Vec<u8> {
    bytes("GeoLite2-City", |writer| writer.record(&city_record("DE", Some(city))))
}

fn asn_bytes(number: u32) -> Vec<u8> {
    bytes("GeoLite2-ASN", |writer| writer.record(&asn_record(number, "Example")))
}

fn bytes(database_type: &str, record: impl Fn(&mut Writer) -> Record) -> Vec<u8> {
    let mut writer = Writer::new(database_type);
    let record = record(&mut writer);
    writer.insert("192.0.2.0/24".parse().unwrap(), record);
    writer.finish().unwrap()
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = GeoipConfig {
            city: Some(directory.path().join("city.mmdb")),
            asn: Some(directory.path().join("asn.mmdb")),
        };
        fs::write(directory.path().join("city.mmdb"), city_bytes("Berlin")).unwrap();
        fs::write(directory.path().join("asn.mmdb"), asn_bytes(64_500)).unwrap();
        let names = Arc::new(Names::new());
        let (files, geo) = Files::open(&config, &names).unwrap();
        Self { directory, names, files, geo: Addresses::of_geo(geo, None).unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts a new file in the place of an old one, as geoipupdate does.
    fn rename_into_place(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path("new"), bytes).unwrap();
        fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    fn look(&mut self) -> Look {
        match self.files.poll(&self.geo) {
            Some(layer) => {
                self.geo = Addresses::of_geo(Some(layer), None).unwrap();
                Look::NewTable
            }
            None => Look::Nothing,
        }
    }

    /// Looks until a change has settled, and once more.
    fn looks(&mut self) -> [Look; 3] {
        [self.look(), self.look(), self.look()]
    }

    /// The place of an address of the only network.
    fn place(&self) -> (String, u32) {
        let place = self.geo.place_of(address_of("192.0.2.1".parse().unwrap()));
        (self.names.read().get(place.city).to_owned(), place.asn)
    }

    fn city(&self) -> DatabaseStatus {
        lock(&self.files.statuses()[0]).clone()
    }
}

const TAKEN_UP: [Look; 3] = [Look::Nothing, Look::NewTable, Look::Nothing];
const NOTHING: [Look; 3] = [Look::Nothing, Look::Nothing, Look::Nothing];

#[test]
fn files_that_stay_the_same_are_not_read_again() {
    let mut site = Site::new();
    assert_eq!(site.looks(), NOTHING);
    assert_eq!((site.place(), site.city().loads), (("Berlin".into(), 64_500), 1));
}

#[test]
fn a_file_renamed_into_place_is_taken_up_and_the_other_one_kept() {
    let mut site = Site::new();
    site.rename_into_place("city.mmdb", &city_bytes("Hamburg"));
    assert_eq!(site.looks(), TAKEN_UP);
    assert_eq!((site.place(), site.city().loads), (("Hamburg".into(), 64_500), 2));
    site.rename_into_place("asn.mmdb", &asn_bytes(64_501));
    assert_eq!(site.looks(), TAKEN_UP);
    assert_eq!(site.place(), ("Hamburg".into(), 64_501));
}

#[test]
fn two_files_replaced_together_are_taken_up_together() {
    let mut site = Site::new();
    site.rename_into_place("city.mmdb", &city_bytes("Hamburg"));
    site.rename_into_place("asn.mmdb", &asn_bytes(64_501));
    assert_eq!(site.looks(), TAKEN_UP);
    assert_eq!(site.place(), ("Hamburg".into(), 64_501));
}

#[test]
fn a_link_that_is_switched_is_followed() {
    // Kubernetes: city.mmdb -> ..data/city.mmdb, ..data -> ..version, and only ..data is switched.
    let mut site = Site::new();
    for (version, city) in [("v1", "Bonn"), ("v2", "Kiel")] {
        fs::create_dir(site.path(version)).unwrap();
        fs::write(site.path(version).join("city.mmdb"), city_bytes(city)).unwrap();
    }
    symlink("v1", site.path("data")).unwrap();
    symlink("data/city.mmdb", site.path("link")).unwrap();
    fs::rename(site.path("link"), site.path("city.mmdb")).unwrap();
    assert_eq!((site.looks(), site.place().0), (TAKEN_UP, "Bonn".into()));
    symlink("v2", site.path("data.new")).unwrap();
    fs::rename(site.path("data.new"), site.path("data")).unwrap();
    assert_eq!((site.looks(), site.place().0), (TAKEN_UP, "Kiel".into()));
}

#[test]
fn a_file_that_is_being_written_is_left_alone() {
    let mut site = Site::new();
    let whole = city_bytes("Wilhelmshaven");
    for part in [whole.len() / 3, whole.len() / 2, whole.len()] {
        fs::write(site.path("city.mmdb"), &whole[..part]).unwrap();
        assert_eq!(site.look(), Look::Nothing);
    }
    assert_eq!((site.look(), site.place().0), (Look::NewTable, "Wilhelmshaven".into()));
    assert_eq!(site.city().failures, 0);
}

#[test]
fn a_broken_file_is_refused_once_and_the_old_table_stays() {
    let mut site = Site::new();
    site.rename_into_place("city.mmdb", b"<html>401 Unauthorized</html>");
    assert_eq!((site.looks(), site.looks()), (NOTHING, NOTHING));
    let status = site.city();
    assert_eq!((site.place().0, status.loads, status.failures), ("Berlin".into(), 1, 1));
    assert!(status.refusal.unwrap().contains("not a valid MaxMind DB file"));

    // Another broken one counts again; a good one ends it.
    site.rename_into_place("city.mmdb", &city_bytes("Hamburg")[..100]);
    assert_eq!((site.looks(), site.city().failures), (NOTHING, 2));
    site.rename_into_place("city.mmdb", &city_bytes("Hamburg"));
    assert_eq!((site.looks(), site.place().0), (TAKEN_UP, "Hamburg".into()));
    assert_eq!((site.city().failures, site.city().refusal), (2, None));
}

#[test]
fn a_good_file_is_taken_up_beside_a_broken_one() {
    let mut site = Site::new();
    site.rename_into_place("city.mmdb", b"broken");
    site.rename_into_place("asn.mmdb", &asn_bytes(64_501));
    assert_eq!((site.looks(), site.place()), (TAKEN_UP, ("Berlin".into(), 64_501)));
}

#[test]
fn a_file_that_is_away_is_counted_once_and_may_come_back() {
    let mut site = Site::new();
    fs::rename(site.path("city.mmdb"), site.path("away")).unwrap();
    assert_eq!((site.looks(), site.city().failures), (NOTHING, 1));
    assert!(site.city().refusal.unwrap().contains("cannot read"));
    assert_eq!(site.place().0, "Berlin");
    site.rename_into_place("city.mmdb", &city_bytes("Hamburg"));
    assert_eq!((site.looks(), site.place().0), (TAKEN_UP, "Hamburg".into()));
    assert_eq!((site.city().failures, site.city().refusal), (1, None));
}

#[test]
fn a_missing_file_is_a_mistake_at_the_start() {
    let config = GeoipConfig { asn: Some("/nonexistent/asn.mmdb".into()), ..GeoipConfig::default() };
    let error = Files::open(&config, &Arc::new(Names::new())).map(|_| ()).unwrap_err();
    assert!(matches!(error, GeoipError::Unreadable { role: Role::Asn, .. }), "{error}");
}
