//! The comparison tells every kind of violation.

use esker::Lsn;

use super::{Found, Model};
use crate::torture::{record::Identity, said::Said};

const LIFE: u32 = 2;

fn record(lsn: u64, writer: u32, counter: u64) -> (Lsn, Identity) {
    (Lsn::new(lsn), Identity { life: LIFE, writer, counter })
}

fn hear(model: &mut Model, said: &[Said]) {
    said.iter().for_each(|said| model.hear(LIFE, said));
}

fn ack(writer: u32, counter: u64, lsn: u64) -> Said {
    Said::Ack { writer, counter, lsn: Lsn::new(lsn) }
}

/// A log that was opened at 1000 and in which two writers had three records acknowledged.
fn promised() -> Model {
    let mut model = Model::default();
    hear(&mut model, &[Said::Open { end: Lsn::new(1000), floor: Lsn::ZERO }]);
    hear(&mut model, &[ack(0, 0, 1000), ack(1, 0, 1100), ack(0, 1, 1200)]);
    model
}

/// What such a log may look like: two records were not acknowledged and survived.
fn kept() -> Found {
    let records =
        vec![record(1000, 0, 0), record(1100, 1, 0), record(1200, 0, 1), record(1300, 1, 1), record(1400, 0, 2)];
    Found { floor: Lsn::ZERO, records }
}

#[track_caller]
fn check_refuses(model: &Model, found: &Found, words: &str) {
    let violation = model.check(found).expect_err("a violation");
    assert!(violation.contains(words), "{violation}");
}

#[test]
fn what_was_promised_and_more_of_the_same_passes() {
    assert_eq!(promised().check(&kept()), Ok(()));
    let mut found = kept();
    found.records.truncate(3);
    assert_eq!(promised().check(&found), Ok(()));
}

#[test]
fn an_acknowledged_record_that_is_missing_is_told() {
    for missing in 0..3 {
        let mut found = kept();
        found.records.truncate(missing);
        check_refuses(&promised(), &found, "is missing at lsn");
        let mut found = kept();
        found.records.remove(missing);
        check_refuses(&promised(), &found, "is missing at lsn");
    }
}

#[test]
fn another_record_in_its_place_is_told() {
    let mut found = kept();
    found.records[1] = record(1100, 1, 7);
    check_refuses(&promised(), &found, "was acknowledged there");
}

#[test]
fn a_hole_among_records_that_were_not_acknowledged_is_told() {
    let mut found = kept();
    found.records.push(record(1500, 0, 4));
    check_refuses(&promised(), &found, "record 3 of that writer should come next");
    let mut found = kept();
    found.records.push(record(1500, 2, 1));
    check_refuses(&promised(), &found, "record 0 of that writer should come next");
}

#[test]
fn a_record_twice_is_told() {
    let mut found = kept();
    found.records.push(record(1500, 0, 2));
    check_refuses(&promised(), &found, "should come next");
    let mut found = kept();
    found.records.push(record(1400, 0, 3));
    check_refuses(&promised(), &found, "out of order");
}

#[test]
fn a_record_that_an_earlier_look_did_not_find_is_told() {
    let mut model = promised();
    let mut found = kept();
    found.records.truncate(3);
    model.adopt(found.clone());
    assert_eq!(model.check(&found), Ok(()));
    check_refuses(&model, &kept(), "was not there at an earlier look");
    // Once seen, it may not be lost either, though nobody acknowledged it.
    model.adopt(kept());
    check_refuses(&model, &found, "is missing at lsn 1300");
}

#[test]
fn a_record_of_a_life_that_never_opened_the_log_is_told() {
    let mut found = kept();
    found.records.push((Lsn::new(1500), Identity { life: 3, writer: 0, counter: 0 }));
    check_refuses(&promised(), &found, "never opened a log");
    let mut found = kept();
    found.records.insert(0, record(900, 2, 0));
    check_refuses(&promised(), &found, "began to append at 1000");
}

#[test]
fn the_floor_lies_between_what_was_returned_and_what_was_asked_for() {
    let mut model = promised();
    let at = |floor: u64| {
        let mut found = kept();
        found.floor = Lsn::new(floor);
        found.records.retain(|&(lsn, _)| lsn >= found.floor);
        found
    };
    check_refuses(&model, &at(1), "the log begins at lsn 1;");
    hear(&mut model, &[Said::Ask(Lsn::new(1250))]);
    for floor in [0, 1, 1250] {
        assert_eq!(model.check(&at(floor)), Ok(()), "{floor}");
    }
    check_refuses(&model, &at(1251), "the log begins at lsn 1251;");
    hear(&mut model, &[Said::Cut(Lsn::new(1250))]);
    assert_eq!(model.check(&at(1250)), Ok(()));
    check_refuses(&model, &at(1249), "the log begins at lsn 1249;");
    // What survived the truncation is still asked for.
    hear(&mut model, &[ack(1, 1, 1300)]);
    let mut found = at(1250);
    found.records.remove(0);
    check_refuses(&model, &found, "is missing at lsn 1300");
    found.records.clear();
    check_refuses(&model, &found, "is missing at lsn 1300");
}
