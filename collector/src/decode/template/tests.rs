//! Definitions learned, shared, evicted, and told apart by port.

use super::super::budget::SMALLEST_TABLE_OCTETS;
use super::*;

const PORT: u16 = 4000;

fn field(id: u16, length: u16) -> Field {
    Field { ie: iana(id), length }
}

fn learn(
    store: &mut TemplateStore,
    id: u16,
    fields: &[Field],
    scope_fields: usize,
    room: bool,
    now: UnixMs,
) -> Learned {
    let room = Room { template: room, ..Room::ANY };
    store.learn(id, (fields, scope_fields), room, (PORT, now), &mut Compiler::default())
}

#[test]
fn the_same_definition_is_compiled_once() {
    let mut compiler = Compiler::default();
    let (one, same) = (compiler.compile(&[field(8, 4)], 0).unwrap(), compiler.compile(&[field(8, 4)], 0).unwrap());
    assert!(Arc::ptr_eq(&one, &same));
    let others = [([field(8, 4)], 1), ([field(8, 3)], 0), ([field(9, 4)], 0)];
    let others = others.map(|(fields, scope_fields)| compiler.compile(&fields, scope_fields).unwrap());
    assert!(others.iter().all(|other| !Arc::ptr_eq(&one, other)));
    assert_eq!(compiler.n_definitions(), 4);
}

#[test]
fn definitions_that_no_template_has_any_more_are_forgotten() {
    let (mut store, mut compiler) = (TemplateStore::default(), Compiler::default());
    for id in 0..10_000 {
        store.learn(256, (&[field(id, 4)], 0), Room::ANY, (PORT, 0), &mut compiler);
    }
    assert_eq!(compiler.n_definitions(), 1);
    assert_eq!(store.get(256).map(|template| template.fields[0].ie.id), Some(9_999));
    assert_eq!(compiler.octets() + TEMPLATE_OCTETS, store.octets());
    store.learn(257, (&[field(8, 4), field(12, 4)], 0), Room::ANY, (PORT, 0), &mut compiler);
    store.learn(258, (&[field(144, 4), field(34, 4)], 1), Room::ANY, (PORT, 0), &mut compiler);
    store.withdraw(257, &mut compiler);
    store.withdraw_all(RecordKind::Options, &mut compiler);
    assert_eq!((compiler.n_definitions(), store.len()), (1, 1));
    store.withdraw_all(RecordKind::Data, &mut compiler);
    assert_eq!((compiler.n_definitions(), compiler.octets(), store.octets()), (0, 0, 0));
}

#[test]
fn a_table_whose_templates_come_and_go_stays_as_large_as_is_accounted_for() {
    let mut store = TemplateStore::default();
    for id in 256..20_000 {
        learn(&mut store, id, &[field(8, 4)], 0, true, i64::from(id));
        check_room(&store);
    }
    assert_eq!(store.len(), MAX_TEMPLATES);
    store.expire(19_990);
    assert_eq!((store.len(), store.templates.capacity()), (10, 14));
}

/// The table, which has slots of removed templates as well, takes no more than is accounted for its templates.
#[track_caller]
fn check_room(store: &TemplateStore) {
    let (taken, held) = (store.templates.allocation_size(), store.templates.len());
    assert!(
        taken <= SMALLEST_TABLE_OCTETS + held * TEMPLATE_OCTETS,
        "{taken} octets for {held} templates, {} each",
        taken / held.max(1)
    );
}

#[test]
fn tables_whose_templates_are_withdrawn_stay_as_large_as_is_accounted_for() {
    let (mut store, mut compiler) = (TemplateStore::default(), Compiler::default());
    let check = |store: &TemplateStore, compiler: &Compiler| {
        check_room(store);
        let (taken, held) = (compiler.known.allocation_size(), compiler.n_definitions());
        assert!(taken <= SMALLEST_TABLE_OCTETS + held * SLOT_OCTETS, "{taken} octets for {held} definitions");
    };
    for round in 0..5 {
        for id in 0..1000 {
            store.learn(256 + id, (&[field(1 + id, 4 + round)], 0), Room::ANY, (PORT, 0), &mut compiler);
            check(&store, &compiler);
        }
        for id in (0..1000).filter(|id| id % 100 > 0) {
            store.withdraw(256 + id, &mut compiler);
            check(&store, &compiler);
        }
    }
    store.withdraw_all(RecordKind::Data, &mut compiler);
    check(&store, &compiler);
    assert_eq!((store.len(), store.octets(), compiler.octets()), (0, 0, 0));
}

#[test]
fn definitions_of_other_ports_are_counted_and_take_no_spare_room() {
    let (mut store, mut compiler) = (TemplateStore::default(), Compiler::default());
    let mut define = |port: u16, length: u16, store: &mut TemplateStore| {
        store.learn(256, (&[field(8, length)], 0), Room::ANY, (port, 0), &mut compiler);
        let others = &store.templates[&256].others;
        assert_eq!((others.capacity(), store.n_definitions()), (others.len(), 1 + others.len()));
        others.len()
    };
    let grown = [1, 2, 3, 4].map(|port| define(port, port, &mut store));
    assert_eq!(grown, [0, 1, 2, 3]);
    // All ports agree again.
    let agreed = [1, 2, 3, 4].map(|port| define(port, 4, &mut store));
    assert_eq!(agreed, [2, 1, 0, 0]);
    store.withdraw(256, &mut compiler);
    assert_eq!((store.len(), store.octets(), compiler.octets()), (0, 0, 0));
}

/// A template of `n` fields that no other one has.
fn long(id: u16, n: u16) -> Vec<Field> {
    (0..n).map(|at| field(1 + (id + at) % 400, 1 + at % 4)).collect()
}

#[test]
fn octets_are_bounded_and_the_least_recently_used_templates_make_room() {
    let (mut store, mut compiler) = (TemplateStore::default(), Compiler::default());
    let one = Compiled::new(&long(0, 1000), 0).unwrap().octets();
    let most = 10 * (one + TEMPLATE_OCTETS) + one / 2;
    for id in 0..1000 {
        let room = Room { exporter_octets: most - store.octets(), ..Room::ANY };
        assert_eq!(store.learn(256 + id, (&long(id, 1000), 0), room, (PORT, 0), &mut compiler), Learned::New);
        assert!(store.octets() <= most && compiler.octets() <= store.octets(), "{} octets", store.octets());
    }
    assert!(store.len() >= 9 && store.get(1255).is_some(), "{} templates", store.len());
    let none = Room { exporter_octets: 0, ..Room::ANY };
    let small = store.learn(2000, (&long(7, 2), 0), none, (PORT, 0), &mut compiler);
    assert_eq!((small, store.refused), (Learned::New, 0), "a small one takes the place of a large one");
}

#[test]
fn a_definition_that_no_eviction_makes_room_for_is_refused_and_costs_no_other() {
    let (mut store, mut compiler) = (TemplateStore::default(), Compiler::default());
    store.learn(256, (&long(0, 10), 0), Room::ANY, (PORT, 0), &mut compiler);
    let octets = store.octets();
    let room = Room { exporter_octets: 100, ..Room::ANY };
    assert_eq!(store.learn(257, (&long(1, 1000), 0), room, (PORT, 0), &mut compiler), Learned::Refused);
    assert_eq!((store.len(), store.octets(), compiler.n_definitions()), (1, octets, 1));
    let full = Room { compiler_octets: compiler.octets(), ..Room::ANY };
    assert_eq!(
        store.learn(257, (&long(0, 10), 0), full, (PORT, 0), &mut compiler),
        Learned::New,
        "a shared one costs nothing"
    );
}

#[test]
fn an_identical_refresh_is_silent_and_a_different_one_replaces_at_once() {
    let mut store = TemplateStore::default();
    assert_eq!(learn(&mut store, 256, &[field(8, 4)], 0, true, 0), Learned::New);
    assert_eq!(learn(&mut store, 256, &[field(8, 4)], 0, true, 0), Learned::Refreshed);
    assert_eq!(learn(&mut store, 256, &[field(8, 4), field(12, 4)], 0, true, 0), Learned::Replaced);
    assert_eq!(store.get(256).map(|template| template.record_octets), Some(8));
}

#[test]
fn data_and_options_templates_share_one_id_space() {
    let mut store = TemplateStore::default();
    learn(&mut store, 256, &[field(8, 4)], 0, true, 0);
    assert_eq!(learn(&mut store, 256, &[field(144, 4), field(34, 4)], 1, true, 0), Learned::Replaced);
    assert!(matches!(store.get(256).unwrap().content, Content::Options));
}

#[test]
fn definitions_without_octets_are_refused_and_forget_the_old_one() {
    let mut store = TemplateStore::default();
    learn(&mut store, 256, &[field(8, 4)], 0, true, 0);
    assert_eq!(learn(&mut store, 256, &[], 0, true, 0), Learned::Refused);
    assert_eq!(learn(&mut store, 257, &[field(8, 0), field(12, 0)], 0, true, 0), Learned::Refused);
    assert!(store.get(256).is_none());
}

#[test]
fn records_longer_than_a_datagram_are_refused() {
    let mut store = TemplateStore::default();
    assert_eq!(learn(&mut store, 256, &[field(210, 40_000), field(210, 40_000)], 0, true, 0), Learned::Refused);
}

#[test]
fn the_least_recently_used_template_makes_room() {
    let mut store = TemplateStore::default();
    for id in 0..MAX_TEMPLATES as u16 {
        learn(&mut store, 256 + id, &[field(8, 4)], 0, true, 0);
    }
    store.touch(256);
    learn(&mut store, 9000, &[field(8, 4)], 0, true, 0);
    assert_eq!((store.len(), store.evicted), (MAX_TEMPLATES, 1));
    assert!(store.get(256).is_some());
    assert!(store.get(257).is_none());
}

#[test]
fn without_room_a_template_takes_the_place_of_its_own_domains_oldest() {
    let mut store = TemplateStore::default();
    assert_eq!(learn(&mut store, 256, &[field(8, 4)], 0, false, 0), Learned::Refused);
    assert_eq!(learn(&mut store, 256, &[field(8, 4)], 0, true, 0), Learned::New);
    assert_eq!(learn(&mut store, 257, &[field(8, 4)], 0, false, 0), Learned::New);
    assert_eq!((store.len(), store.evicted, store.refused), (1, 1, 1));
}

#[test]
fn a_template_that_is_not_defined_again_expires() {
    let mut store = TemplateStore::default();
    learn(&mut store, 256, &[field(8, 4)], 0, true, 1000);
    learn(&mut store, 257, &[field(8, 4)], 0, true, 1000);
    learn(&mut store, 257, &[field(8, 4)], 0, true, 5000);
    store.get(256);
    store.changed = false;
    store.expire(1000);
    assert_eq!((store.len(), store.expired, store.changed), (2, 0, false));
    store.expire(1001);
    assert_eq!((store.len(), store.expired, store.changed), (1, 1, true));
    assert!(store.get(257).is_some());
}

#[test]
fn an_enterprise_field_keeps_its_number() {
    // Template 256 with one field: enterprise bit and id 1, variable length, PEN 2636 (Juniper).
    let octets = [0x01, 0x00, 0x00, 0x01, 0x80, 0x01, 0xff, 0xff, 0x00, 0x00, 0x0a, 0x4c];
    let mut fields = Vec::new();
    let definition = next_definition(Form::Ipfix, &mut Cursor::new(&octets), &mut fields).unwrap().unwrap();
    assert_eq!(definition.id, 256);
    assert_eq!(fields, [Field { ie: Ie { pen: 2636, id: 1 }, length: VARIABLE_LENGTH }]);
}

/// Definitions of template 256 by several ports, in order; how many alternated.
fn defined((store, compiler): &mut (TemplateStore, Compiler), definitions: &[(u16, u16)]) -> u64 {
    for &(port, length) in definitions {
        store.learn(256, (&[field(8, length)], 0), Room::ANY, (port, 0), compiler);
    }
    store.alternated
}

#[test]
fn ports_that_disagree_have_a_definition_each_and_others_the_latest() {
    let mut store = (TemplateStore::default(), Compiler::default());
    assert_eq!(defined(&mut store, &[(1, 4), (2, 3)]), 0);
    let octets = |store: &(TemplateStore, Compiler), port| store.0.of(256, port).unwrap().record_octets;
    assert_eq!([1, 2, 3].map(|port| octets(&store, port)), [4, 3, 3]);
    assert_eq!(defined(&mut store, &[(1, 4), (2, 3), (1, 4)]), 3, "each goes back to what was there");
    assert_eq!([1, 2, 3].map(|port| octets(&store, port)), [4, 3, 4]);
    assert_eq!((store.0.len(), store.0.n_disputed(), store.0.iter().count()), (1, 1, 2));
    assert_eq!(defined(&mut store, &[(2, 4)]), 3);
    assert_eq!(([1, 2].map(|port| octets(&store, port)), store.0.n_disputed()), ([4, 4], 0), "they agree again");
}

#[test]
fn a_port_that_changes_its_mind_has_the_last_definition_alone() {
    let mut store = (TemplateStore::default(), Compiler::default());
    assert_eq!(defined(&mut store, &[(1, 4), (1, 3), (1, 2)]), 0);
    assert_eq!(store.0.n_disputed(), 0);
    assert_eq!(defined(&mut store, &[(1, 3)]), 1, "back to the one before");
}

#[test]
fn ports_that_disagree_are_bounded() {
    let mut store = (TemplateStore::default(), Compiler::default());
    let definitions: Vec<_> = (0..100).map(|port| (port, 1 + port)).collect();
    defined(&mut store, &definitions);
    let (templates, compiler) = &mut store;
    assert_eq!((templates.octets() > compiler.octets(), compiler.n_definitions()), (true, MAX_PORTS + 1));
    templates.withdraw(256, compiler);
    assert_eq!((templates.octets(), compiler.octets(), compiler.n_definitions()), (0, 0, 0));
    defined(&mut store, &definitions);
    assert_eq!(store.0.iter().count(), MAX_PORTS + 1);
}
