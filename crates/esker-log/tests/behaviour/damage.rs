//! Damage of every kind in every place: what is not touched is read, what is touched is told, nothing is changed.
//!
//! Opening does not read what lies below the last mark, so that it may succeed although a record there is damaged; then
//! reading that record tells.

use std::sync::Arc;

use esker_log::{
    Corruption, CorruptionKind, Error, ErrorKind, Log, LogReader, Lsn, MessageInfo, MessageKind, OnDamage, Repair,
    RepairStep,
    format::{SegmentHeader, Superblock},
    storage::{MemStorage, Storage},
};

use crate::support::{
    Image, Records, SEGMENT_BYTES, abandon, append, assert_same, collect, open, options, payload, reader, salvage,
    without_hanging,
};

const SUPERBLOCK_BYTES: usize = 4096;
/// The base of the last segment that the format admits.
const LAST_BASE: u64 = (1 << 63) - SEGMENT_BYTES as u64;

/// A log that is whole, and all that is known of it.
#[derive(Clone)]
struct Whole {
    image: Image,
    records: Records,
    messages: Vec<MessageInfo>,
    clean: bool,
    end: Lsn,
}

impl Whole {
    fn of(storage: &MemStorage, records: Records, clean: bool) -> Self {
        let reader = reader(storage);
        let messages: Vec<_> = reader.messages().map(|info| info.unwrap()).collect();
        assert!(reader.verify(&mut |_, _| ()).unwrap().is_clean());
        Self { image: Image::of(storage), records, messages, clean, end: reader.end_lsn() }
    }

    /// A log of four openings, closed in good order: several segments, pads, aborted reservations, marks, blobs, a
    /// truncated beginning.
    fn closed() -> Self {
        let storage = MemStorage::default();
        let mut records = Records::new();
        for opening in 0..4u64 {
            let log = open(&storage);
            for n in 0..9 {
                append(&log, &mut records, payload(opening << 8 | n, 60 + 37 * n as usize));
            }
            append(&log, &mut records, payload(opening, 800));
            log.reserve(33).unwrap().abort();
            if opening == 2 {
                let floor = *records.keys().nth(2).unwrap();
                log.truncate_before(floor).unwrap();
                records = records.split_off(&floor);
            }
            log.close().unwrap();
        }
        Self::of(&storage, records, true)
    }

    /// A log whose process was killed, made durable now and then.
    fn killed() -> Self {
        let storage = MemStorage::default();
        let mut records = Records::new();
        let log = open(&storage);
        append(&log, &mut records, payload(0, 900));
        for n in 0..70 {
            append(&log, &mut records, payload(n, 40 + (n as usize * 53) % 200));
            if n % 7 == 6 {
                log.flush().unwrap();
            }
        }
        abandon(log);
        Self::of(&storage, records, false)
    }

    fn segment_header_at(&self, slot: usize) -> SegmentHeader {
        SegmentHeader::decode(&self.image.0["log"][slot * SEGMENT_BYTES as usize..]).unwrap()
    }

    fn slots(&self) -> usize {
        self.image.0["log"].len() / SEGMENT_BYTES as usize
    }

    /// The message that a byte of the log's file belongs to.
    fn message_at(&self, offset: u64) -> Option<&MessageInfo> {
        self.messages
            .iter()
            .find(|info| (info.offset.get()..info.offset.get() + 24 + u64::from(info.len)).contains(&offset))
    }

    /// The highest mark that is left without one piece: of a message, or of a segment's header.
    fn mark_without(&self, message: Option<Lsn>, slot: Option<usize>) -> Lsn {
        let superblock = Superblock::newest(&self.image.0["superblock"]).unwrap().newest;
        let messages = self.messages.iter().filter(|info| Some(info.lsn) != message).map(|info| info.mark);
        let headers = (0..self.slots()).filter(|&at| Some(at) != slot).map(|at| self.segment_header_at(at).mark);
        messages.chain(headers).max().unwrap().max(superblock.mark)
    }

    fn record_of_blob(&self, name: &str) -> Lsn {
        let pointers = self.messages.iter().filter(|info| info.kind == MessageKind::BlobPointer);
        let names: Vec<_> = self.image.0.keys().filter(|name| name.starts_with("blob-")).collect();
        // Names begin with the hint, which is the place of the record when nobody else appends.
        let at = names.iter().position(|&found| found == name).unwrap();
        let live: Vec<_> = pointers.filter(|info| self.records.contains_key(&info.lsn)).collect();
        assert_eq!(live.len(), names.len());
        live[at].lsn
    }
}

/// What a damage may do.
#[derive(Clone, Debug, Default)]
struct Expected {
    /// The records that may be lost.
    touched: Vec<Lsn>,
    /// Everything below was known to be durable by what is left.
    durable_to: Lsn,
    /// Whether the log must not open.
    refused: Option<bool>,
    /// Where `verify` must find something: the file and the offset.
    place: Option<(String, u64)>,
    /// Whether nothing can be read at all.
    hopeless: bool,
}

fn check(what: &str, whole: &Whole, damaged: &Image, expected: &Expected) {
    check_open(what, whole, damaged, expected);
    // Every few damages will do, because reading everything and going on takes long.
    let sum = what.bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    match sum % 12 {
        0 => check_policy(what, whole, damaged, expected, OnDamage::StopBefore),
        1 => check_policy(what, whole, damaged, expected, OnDamage::Skip),
        2 => check_salvage(what, damaged, expected),
        3 => check_repair(what, damaged, expected),
        _ => (),
    }
    let storage = damaged.storage();
    let reader = match LogReader::open(Arc::new(storage.clone())) {
        Ok(reader) => reader,
        Err(error) => {
            assert!(expected.hopeless, "{what}: {error}");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
            return;
        }
    };
    assert!(!expected.hopeless, "{what}: a reader opened");
    let (found, errors) = salvage(reader.iter_from(Lsn::ZERO));
    for error in &errors {
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
    }
    // Records that are given away are those that are lent, with the same errors between.
    let (mut lent, mut given) = (reader.iter_from(Lsn::ZERO), reader.iter_from(Lsn::ZERO));
    while let Some(lent) = lent.next_record() {
        match (lent, given.next().expect("as much is given as lent")) {
            (Ok(lent), Ok(given)) => assert_eq!(lent.to_record(), given, "{what}"),
            (Err(lent), Err(given)) => assert_eq!(lent.to_string(), given.to_string(), "{what}"),
            (lent, given) => panic!("{what}: {lent:?} is lent and {given:?} given"),
        }
    }
    assert!(given.next().is_none(), "{what}");
    let cut = reader.end_lsn();
    for (lsn, payload) in &whole.records {
        // What was not known to be durable may be cut off with the tail.
        let may_be_missing = expected.touched.contains(lsn)
            || (reader.report().damage.is_none() && *lsn >= cut && *lsn >= expected.durable_to);
        let read = reader.read(*lsn);
        match (found.get(lsn), &read) {
            (Some(found), Ok(read)) => assert!(found == payload && read.payload() == payload, "{what}: lsn {lsn}"),
            (None, Err(error)) => {
                assert!(may_be_missing, "{what}: lsn {lsn} is lost although it is whole: {error}; {}", reader.report());
            }
            (found, read) => panic!(
                "{what}: lsn {lsn} is {} by iteration and {} by reading",
                if found.is_some() { "found" } else { "missing" },
                if read.is_ok() { "found" } else { "missing" },
            ),
        }
    }
    assert!(found.keys().all(|lsn| whole.records.contains_key(lsn)), "{what}: a record that never was");
    let verified = reader.verify(&mut |_, _| ()).unwrap();
    if let Some((file, offset)) = &expected.place {
        let cut_there = reader.report().torn.is_some() || (reader.report().damage.is_none() && cut < whole.end);
        let is_there = |damage: &Corruption| damage.file == *file && damage.offset == *offset;
        assert!(
            verified.damages.iter().any(is_there) || (cut_there && !whole.clean),
            "{what}: {file} at {offset} is not among {:?}",
            verified.damages
        );
    }
    assert_eq!(Image::of(&storage), *damaged, "{what}: reading has changed something");
}

fn check_open(what: &str, whole: &Whole, damaged: &Image, expected: &Expected) {
    let storage = damaged.storage();
    match Log::open(Arc::new(storage.clone()), options()) {
        Err(error) => {
            assert_ne!(expected.refused, Some(false), "{what}: {error}");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
            assert_eq!(Image::of(&storage), *damaged, "{what}: a log that was refused has changed");
        }
        Ok(log) => {
            assert_ne!(expected.refused, Some(true), "{what}: the log opened");
            assert!(log.end_lsn() >= expected.durable_to.min(whole.end), "{what}: {}", log.report());
            for (lsn, payload) in &whole.records {
                match log.read(*lsn) {
                    Ok(record) => assert_eq!(record.payload(), payload, "{what}: lsn {lsn}"),
                    Err(Error::Corrupt(_)) => {
                        assert!(expected.touched.contains(lsn), "{what}: lsn {lsn} is not touched");
                    }
                    Err(Error::NeverReserved { .. }) => {
                        assert!(*lsn >= expected.durable_to, "{what}: lsn {lsn} was durable; {}", log.report());
                    }
                    Err(error) => panic!("{what}: lsn {lsn}: {error}"),
                }
            }
            // And it goes on.
            let lsn = log.append_durable(b"goes on").unwrap();
            assert_eq!(log.read(lsn).unwrap().payload(), b"goes on");
        }
    }
}

/// Opens in spite of the damage: whatever is not reported as lost is there, the log goes on, and stays as it is.
fn check_policy(what: &str, whole: &Whole, damaged: &Image, expected: &Expected, policy: OnDamage) {
    let what = format!("{policy:?} after {what}");
    let storage = damaged.storage();
    let log = match Log::open(Arc::new(storage.clone()), options().on_damage(policy)) {
        Ok(log) => log,
        Err(error) => {
            assert!(expected.hopeless, "{what}: {error}");
            return;
        }
    };
    let report = log.report().clone();
    let is_lost = |lsn: Lsn, len: usize| {
        let end = lsn + (24 + len.min(28) as u64);
        lsn < report.floor || report.lost.iter().any(|lost| lost.from < end && lsn < lost.to)
    };
    for pair in report.lost.windows(2) {
        assert!(pair[0].to <= pair[1].from, "{what}: {report}");
    }
    let mut left = Records::new();
    for (lsn, payload) in &whole.records {
        match log.read(*lsn) {
            Ok(record) => {
                assert!(!is_lost(*lsn, payload.len()), "{what}: lsn {lsn} is said to be lost; {report}");
                assert_eq!(record.payload(), payload, "{what}: lsn {lsn}");
                left.insert(*lsn, payload.clone());
            }
            Err(Error::NeverReserved { .. }) if *lsn >= report.end && *lsn >= expected.durable_to => (),
            Err(error) => assert!(is_lost(*lsn, payload.len()), "{what}: lsn {lsn}: {error}; {report}"),
        }
    }
    if policy == OnDamage::StopBefore {
        assert!(report.lost.len() <= 1, "{what}: {report}");
        assert!(left.keys().all(|&lsn| lsn < report.end), "{what}: {report}");
    } else {
        let untouched = whole.records.iter().filter(|(lsn, _)| !expected.touched.contains(lsn) && **lsn < report.end);
        let is_left = |(lsn, _): (&Lsn, &Vec<u8>)| {
            assert!(left.contains_key(lsn) || is_header(expected), "{what}: lsn {lsn}, {report}");
        };
        untouched.for_each(is_left);
    }
    let (found, _) = salvage(log.iter_from(Lsn::ZERO).unwrap());
    assert_same(&what, &found, &left);
    // It goes on, over what was given up, and the next opening finds all of it.
    for n in 0..25 {
        append(&log, &mut left, payload(n, 300));
    }
    append(&log, &mut left, payload(99, 2000));
    log.flush().unwrap();
    let image = Image::of(&storage);
    abandon(log);
    let is_whole_again = policy == OnDamage::StopBefore || report.lost.is_empty();
    let next = if is_whole_again { OnDamage::Refuse } else { OnDamage::Skip };
    let storage = image.storage();
    let log = Log::open(Arc::new(storage.clone()), options().on_damage(next))
        .unwrap_or_else(|error| panic!("{what}: the next opening: {error}"));
    let (found, errors) = salvage(log.iter_from(Lsn::ZERO).unwrap());
    assert_same(&format!("{what}, the next opening"), &found, &left);
    assert_eq!(errors.is_empty(), is_whole_again || errors.is_empty(), "{what}: {errors:?}");
    log.close().unwrap();
    let verified = reader(&storage).verify(&mut |_, _| ()).unwrap();
    assert_eq!(verified.lost.is_empty(), is_whole_again || verified.lost.is_empty(), "{what}: {verified:?}");
    // Below the floor damage is not mended, and costs nothing.
    let is_below = |damage: &Corruption| damage.lsn.is_some_and(|lsn| lsn < report.floor);
    assert!(!is_whole_again || verified.damages.iter().all(is_below), "{what}: {verified:?}, {report}");
}

/// Everything that can be read comes into a new log, at its place; what cannot is told there.
fn check_salvage(what: &str, damaged: &Image, expected: &Expected) {
    let what = format!("salvage after {what}");
    let storage = damaged.storage();
    let Ok(damaged_log) = LogReader::open(Arc::new(storage.clone())) else {
        assert!(expected.hopeless, "{what}");
        return;
    };
    let (left, _) = salvage(damaged_log.iter_from(Lsn::ZERO));
    let out = MemStorage::default();
    let report = damaged_log.salvage(&out, &mut |_, _| ()).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(report.records, left.len() as u64, "{what}");
    assert_eq!(Image::of(&storage), *damaged, "{what}: salvaging has changed something");
    // What is salvaged is a log like any other.
    let salvaged = reader(&out);
    assert!(salvaged.report().clean && salvaged.report().damage.is_none(), "{what}: {}", salvaged.report());
    assert_same(&what, &collect(salvaged.iter_from(Lsn::ZERO)), &left);
    let verified = salvaged.verify(&mut |_, _| ()).unwrap();
    assert!(verified.is_clean() && verified.orphan_blobs.is_empty(), "{what}: {verified:?}");
    for lost in report.lost.iter().filter(|lost| lost.from >= report.floor && lost.from < report.end) {
        // No message stands where a segment begins.
        let at = if lost.from.get() % u64::from(SEGMENT_BYTES) == 0 { lost.from + 64 } else { lost.from };
        assert!(verified.given_up.iter().any(|&(from, to)| from <= at && at < to), "{what}: {lost}; {verified:?}");
        assert_eq!(salvaged.read(at).unwrap_err().kind(), ErrorKind::Lost, "{what}: {lost}");
    }
    let mut records = left;
    let log = open(&out);
    for n in 0..20 {
        append(&log, &mut records, payload(n, 300));
    }
    append(&log, &mut records, payload(99, 2000));
    log.close().unwrap();
    assert_same(&what, &collect(reader(&out).iter_from(Lsn::ZERO)), &records);
    assert!(damaged_log.salvage(&out, &mut |_, _| ()).is_err(), "{what}: over a log that is there");
}

/// Without a superblock the log is whole all the same.
fn check_salvage_of(what: &str, whole: &Whole, damaged: &Image) {
    let reader = LogReader::open_for_salvage(Arc::new(damaged.storage())).unwrap();
    let out = MemStorage::default();
    let report = reader.salvage(&out, &mut |_, _| ()).unwrap();
    assert!(report.lost.is_empty() || report.lost[0].to <= *whole.records.keys().next().unwrap(), "{what}: {report:?}");
    let found = collect(crate::support::reader(&out).iter_from(Lsn::ZERO));
    let (before, of_log): (Records, Records) = found.into_iter().partition(|(lsn, _)| !whole.records.contains_key(lsn));
    assert_same(what, &of_log, &whole.records);
    let first = *whole.records.keys().next().unwrap();
    assert!(before.keys().all(|&lsn| lsn < first), "{what}: a record that never was");
}

/// What is repaired loses nothing, and what was replaced is kept.
fn check_repair(what: &str, damaged: &Image, expected: &Expected) {
    let what = format!("repair after {what}");
    let storage: Arc<dyn Storage> = Arc::new(damaged.storage());
    let Ok(damaged_log) = LogReader::open_for_salvage(storage.clone()) else {
        assert!(expected.hopeless, "{what}");
        return;
    };
    let (left, _) = salvage(damaged_log.iter_from(Lsn::ZERO));
    let plan = Repair::plan(storage.as_ref(), &mut |_, _| ()).unwrap();
    assert_eq!(Image::of(storage.as_ref()), *damaged, "{what}: planning has changed something");
    let keep = MemStorage::default();
    let done = Repair::apply(&storage, &keep, &mut |_, _| ()).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(done, plan, "{what}");
    let kept = keep.list().unwrap();
    let replaced = |step: &&RepairStep| !matches!(step, RepairStep::Close);
    assert!(kept.len() >= done.steps.iter().filter(replaced).count(), "{what}: {kept:?} for {done:?}");
    for name in kept {
        let (file, offset) = name.rsplit_once('-').unwrap();
        let Some(old) = damaged.0.get(file) else { continue };
        let bytes = &Image::of(&keep).0[&name];
        let offset = offset.parse::<usize>().unwrap();
        assert!(old[offset..].starts_with(bytes), "{what}: {name} is not what was replaced");
    }
    let again = Repair::plan(storage.as_ref(), &mut |_, _| ()).unwrap();
    assert!(again.steps.is_empty() && again.lost.len() == done.lost.len(), "{what}: {done:?}, then {again:?}");
    let repaired = LogReader::open(storage.clone()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let (found, _) = salvage(repaired.iter_from(Lsn::ZERO));
    assert_same(&what, &found, &left);
    if done.lost.is_empty() {
        let verified = repaired.verify(&mut |_, _| ()).unwrap();
        let is_below = |damage: &Corruption| damage.lsn.is_some_and(|lsn| lsn < repaired.floor());
        assert!(verified.damages.iter().all(is_below), "{what}: {verified:?}");
        let log = Log::open(storage, options()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(log.report().clean, "{what}: {}", log.report());
        log.append_durable(b"goes on").unwrap();
        log.close().unwrap();
    }
}

/// Whether a damage may hide more than a message: the header of a segment, or where the file ends.
fn is_header(expected: &Expected) -> bool {
    expected.touched.is_empty()
}

/// What a change of the byte at `offset` of the log's file may do.
fn expected_in_log(whole: &Whole, offset: u64) -> Expected {
    let slot = offset as usize / SEGMENT_BYTES as usize;
    if offset % u64::from(SEGMENT_BYTES) < 64 {
        let offset = slot as u64 * u64::from(SEGMENT_BYTES);
        let is_live = whole.segment_header_at(slot).base < whole.end;
        let place = is_live.then(|| ("log".to_owned(), offset));
        return Expected { durable_to: whole.mark_without(None, Some(slot)), place, ..Expected::default() };
    }
    match whole.message_at(offset) {
        None => Expected { durable_to: whole.mark_without(None, None), ..Expected::default() },
        Some(info) => Expected {
            touched: vec![info.lsn],
            durable_to: whole.mark_without(Some(info.lsn), None),
            place: Some(("log".to_owned(), info.offset.get())),
            ..Expected::default()
        },
    }
}

/// Every bit of headers, and a bit of every few bytes of the rest.
fn flips_in_log(whole: &Whole) -> Vec<(usize, u8)> {
    let mut flips = Vec::new();
    for offset in 0..whole.image.0["log"].len() {
        let in_header = offset % SEGMENT_BYTES as usize >= 64
            && whole.message_at(offset as u64).is_some_and(|info| offset as u64 - info.offset.get() < 24);
        match offset {
            _ if offset % (SEGMENT_BYTES as usize) < 64 => flips.extend((0..8).map(|bit| (offset, bit))),
            _ if in_header => flips.extend([0, 7, (offset % 6) as u8 + 1].map(|bit| (offset, bit))),
            _ if offset % 11 == 0 => flips.push((offset, (offset % 8) as u8)),
            _ => (),
        }
    }
    flips
}

fn every_flip_in_the_log(whole: &Whole) {
    for (offset, bit) in flips_in_log(whole) {
        let mut image = whole.image.clone();
        image.file("log")[offset] ^= 1 << bit;
        check(&format!("bit {bit} of byte {offset}"), whole, &image, &expected_in_log(whole, offset as u64));
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_closed_log_costs_what_it_touches_and_is_told() {
    without_hanging("damage", || every_flip_in_the_log(&Whole::closed()));
}

#[test]
fn a_flipped_bit_anywhere_in_a_killed_log_costs_nothing_below_a_mark_but_what_it_touches() {
    without_hanging("damage", || every_flip_in_the_log(&Whole::killed()));
}

#[test]
fn a_flipped_bit_in_a_copy_of_the_superblock_costs_nothing() {
    for whole in [Whole::closed(), Whole::killed()] {
        let mark = whole.mark_without(None, None);
        for copy in 0..2 {
            let bytes = (0..80).chain((80..SUPERBLOCK_BYTES).step_by(97));
            for (byte, bit) in bytes.flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
                let mut image = whole.image.clone();
                image.file("superblock")[copy * SUPERBLOCK_BYTES + byte] ^= 1 << bit;
                let expected = Expected {
                    durable_to: mark,
                    refused: Some(false),
                    place: Some(("superblock".to_owned(), (copy * SUPERBLOCK_BYTES) as u64)),
                    ..Expected::default()
                };
                check(&format!("copy {copy}, byte {byte}, bit {bit}"), &whole, &image, &expected);
            }
        }
    }
}

#[test]
fn without_a_superblock_nothing_is_guessed() {
    let whole = Whole::closed();
    let hopeless = Expected { refused: Some(true), hopeless: true, ..Expected::default() };
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change); 6] = [
        ("both copies flipped", |bytes| {
            bytes[40] ^= 1;
            bytes[4096 + 41] ^= 1;
        }),
        ("empty", Vec::clear),
        ("cut in the first copy", |bytes| bytes.truncate(100)),
        ("zeroed", |bytes| bytes.fill(0)),
        ("of something else", |bytes| bytes.fill(b'x')),
        ("two copies of one generation that differ", |bytes| {
            let mut second = Superblock::decode(&bytes[4096..]).unwrap();
            second.mark = second.mark + 1;
            bytes[4096..].copy_from_slice(&second.encode());
        }),
    ];
    for (what, change) in changes {
        let mut image = whole.image.clone();
        change(image.file("superblock"));
        check(what, &whole, &image, &hopeless);
        // The segments tell what it said, if somebody asks them.
        check_repair(what, &image, &Expected::default());
        check_salvage_of(what, &whole, &image);
    }
    // With the file the log is gone: what is left is not taken for a new one.
    let mut image = whole.image.clone();
    image.0.remove("superblock");
    let storage = image.storage();
    assert_eq!(Log::open(Arc::new(storage.clone()), options()).unwrap_err().kind(), ErrorKind::NotEsker);
    assert_eq!(Image::of(&storage), image);
}

#[test]
fn a_log_file_that_is_cut_anywhere_keeps_what_lies_before() {
    for whole in [Whole::closed(), Whole::killed()] {
        let mark = whole.mark_without(None, None);
        let bytes = whole.image.0["log"].len();
        let borders = whole.messages.iter().map(|info| info.offset.get() as usize);
        let borders = borders.chain((0..whole.slots()).map(|slot| slot * SEGMENT_BYTES as usize));
        let cuts =
            borders.flat_map(|at| [at.saturating_sub(1), at, at + 1, at + 24, at + 63]).chain((0..bytes).step_by(131));
        for cut in cuts.filter(|&cut| cut < bytes) {
            let mut image = whole.image.clone();
            image.file("log").truncate(cut);
            let gone = |info: &&MessageInfo| info.offset.get() + 24 + u64::from(info.len) > cut as u64;
            let lost: Vec<_> = whole.messages.iter().filter(gone).map(|info| info.lsn).collect();
            // What is left below the cut may say of what is gone that it had been durable.
            let left = whole.messages.iter().filter(|info| !lost.contains(&info.lsn)).map(|info| info.mark).max();
            let superblock = Superblock::newest(&whole.image.0["superblock"]).unwrap().newest;
            let durable_to = left.unwrap_or_default().max(superblock.mark);
            let is_durable_lost = lost.iter().any(|&lsn| lsn < durable_to);
            let expected = Expected {
                touched: lost,
                durable_to: if whole.clean { mark } else { durable_to },
                refused: is_durable_lost.then_some(true),
                ..Expected::default()
            };
            check(&format!("cut at {cut}"), &whole, &image, &expected);
        }
    }
}

#[test]
fn a_log_file_that_is_gone_is_told() {
    let whole = Whole::closed();
    let mut image = whole.image.clone();
    image.0.remove("log");
    check("no log file", &whole, &image, &Expected { refused: Some(true), hopeless: true, ..Expected::default() });
    match Log::open(Arc::new(image.storage()), options()).unwrap_err() {
        Error::Corrupt(corruption) => {
            assert_eq!((&*corruption.file, corruption.kind), ("log", CorruptionKind::MissingFile))
        }
        other => panic!("{other}"),
    }
}

/// The records in a slot.
fn records_in_slot(whole: &Whole, slot: usize) -> Vec<Lsn> {
    whole.messages.iter().filter(|info| info.segment.get() as usize == slot).map(|info| info.lsn).collect()
}

#[test]
fn a_segment_that_is_overwritten_is_missed_and_the_others_are_read() {
    let whole = Whole::closed();
    let size = SEGMENT_BYTES as usize;
    assert!(whole.slots() >= 3, "{} slots", whole.slots());
    for slot in 0..whole.slots() {
        let lost = records_in_slot(&whole, slot);
        let expected = Expected { touched: lost, durable_to: whole.end, refused: Some(true), ..Expected::default() };
        for other in (0..whole.slots()).filter(|&other| other != slot) {
            let mut image = whole.image.clone();
            image.file("log").copy_within(other * size..(other + 1) * size, slot * size);
            check(&format!("slot {slot} is a copy of slot {other}"), &whole, &image, &expected);
        }
        type Change = fn(&mut [u8]);
        let changes: [(&str, Change); 3] = [
            ("zeroed", |bytes| bytes.fill(0)),
            ("noise", |bytes| bytes.copy_from_slice(&payload(5, bytes.len()))),
            ("the first sector zeroed", |bytes| bytes[..512].fill(0)),
        ];
        for (what, change) in changes {
            let mut image = whole.image.clone();
            change(&mut image.file("log")[slot * size..(slot + 1) * size]);
            check(&format!("slot {slot}: {what}"), &whole, &image, &expected);
        }
    }
}

#[test]
fn segments_that_swapped_their_slots_are_found() {
    let whole = Whole::closed();
    let size = SEGMENT_BYTES as usize;
    let mut image = whole.image.clone();
    let (first, rest) = image.file("log").split_at_mut(size);
    first.swap_with_slice(&mut rest[..size]);
    let expected = Expected { durable_to: whole.end, refused: Some(false), ..Expected::default() };
    check("slots swapped", &whole, &image, &expected);
}

/// A segment of an earlier life of the log, put back into its slot, as a block that was never written does.
#[test]
fn a_stale_segment_is_not_taken_for_the_present_one() {
    let storage = MemStorage::default();
    let log = open(&storage);
    let mut records = Records::new();
    for n in 0..100 {
        append(&log, &mut records, payload(n, 200));
    }
    log.flush().unwrap();
    let earlier = Image::of(&storage);
    let floor = *records.keys().nth(90).unwrap();
    log.truncate_before(floor).unwrap();
    records = records.split_off(&floor);
    for n in 0..150 {
        append(&log, &mut records, payload(100 + n, 200));
    }
    log.close().unwrap();
    let whole = Whole::of(&storage, records, true);
    let size = SEGMENT_BYTES as usize;
    let reused = (0..earlier.0["log"].len() / size).filter(|&slot| {
        let base = SegmentHeader::decode(&earlier.0["log"][slot * size..]).map(|header| header.base).ok();
        base != Some(whole.segment_header_at(slot).base)
    });
    let mut tried = 0;
    for slot in reused {
        let mut image = whole.image.clone();
        image.file("log")[slot * size..(slot + 1) * size]
            .copy_from_slice(&earlier.0["log"][slot * size..(slot + 1) * size]);
        let expected = Expected {
            touched: records_in_slot(&whole, slot),
            durable_to: whole.end,
            refused: Some(true),
            ..Expected::default()
        };
        check(&format!("slot {slot} is stale"), &whole, &image, &expected);
        tried += 1;
    }
    assert!(tried > 2, "{tried} slots were reused");
}

/// The log is cut, goes on from there in other slots, and then loses the header of what it wrote: the tail that was cut
/// must not take its place.
#[test]
fn a_tail_that_was_cut_does_not_come_back_when_its_successor_loses_its_header() {
    let storage = MemStorage::default();
    let log = open(&storage);
    let mut records = Records::new();
    let segment = |lsn: Lsn| lsn.get() / u64::from(SEGMENT_BYTES);
    let fill = |log: &Log, records: &mut Records, n: u64, segments: u64| {
        while segment(log.end_lsn()) < segments {
            append(log, records, payload(n + log.end_lsn().get(), 200));
        }
    };
    // Two segments and a bit are durable; three more are not; the first two are given up.
    fill(&log, &mut records, 0, 2);
    let floor = append(&log, &mut records, payload(0, 200));
    log.flush().unwrap();
    let durable = records.len();
    fill(&log, &mut records, 0, 6);
    log.truncate_before(floor).unwrap();
    log.iter_from(Lsn::ZERO).unwrap();
    abandon(log);
    let mut image = Image::of(&storage);
    let torn = *records.keys().nth(durable + 2).unwrap();
    assert_eq!(segment(torn), 2);
    image.file("log")[torn.get() as usize + 24] ^= 1;
    records.split_off(&torn);
    let mut records = records.split_off(&floor);
    // The two that follow go to the slots of the two that were given up.
    let storage = image.storage();
    let log = open(&storage);
    assert_eq!(log.report().torn.as_ref().unwrap().at, torn);
    fill(&log, &mut records, 1, 4);
    append(&log, &mut records, payload(0, 200));
    log.close().unwrap();
    // From now on the superblock does not say any more that the epoch of the tail is over there.
    let log = open(&storage);
    append(&log, &mut records, payload(0, 200));
    log.close().unwrap();
    let whole = Whole::of(&storage, records, true);
    let size = SEGMENT_BYTES as usize;
    for slot in 0..2 {
        assert_eq!(segment(whole.segment_header_at(slot).base), slot as u64 + 3);
        let mut image = whole.image.clone();
        image.file("log")[slot * size..slot * size + 512].fill(0);
        let expected = Expected {
            touched: records_in_slot(&whole, slot),
            durable_to: whole.end,
            refused: Some(true),
            ..Expected::default()
        };
        check(&format!("slot {slot} lost its beginning"), &whole, &image, &expected);
    }
}

#[test]
fn damage_of_a_blob_costs_its_record_and_is_told() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change); 7] = [
        ("empty", Vec::clear),
        ("cut in its header", |bytes| bytes.truncate(40)),
        ("cut by a byte", |bytes| {
            bytes.pop();
        }),
        ("a byte longer", |bytes| bytes.push(0)),
        ("zeroed", |bytes| bytes.fill(0)),
        ("noise", |bytes| *bytes = payload(9, bytes.len())),
        ("the last bit flipped", |bytes| *bytes.last_mut().unwrap() ^= 1),
    ];
    for whole in [Whole::closed(), Whole::killed()] {
        let names: Vec<_> = whole.image.0.keys().filter(|name| name.starts_with("blob-")).cloned().collect();
        let expected = |name: &str| Expected {
            touched: vec![whole.record_of_blob(name)],
            durable_to: whole.mark_without(None, None),
            refused: Some(false),
            ..Expected::default()
        };
        for name in &names {
            for (what, change) in changes {
                let mut image = whole.image.clone();
                change(image.file(name));
                check(&format!("{name} {what}"), &whole, &image, &expected(name));
            }
            let bytes = whole.image.0[name].len();
            for (byte, bit) in
                (0..64).chain((64..bytes).step_by(101)).flat_map(|byte| (0..8).map(move |bit| (byte, bit)))
            {
                let mut image = whole.image.clone();
                image.file(name)[byte] ^= 1 << bit;
                let place = (name.clone(), if byte < 64 { 0 } else { 64 });
                let expected = Expected { place: Some(place), ..expected(name) };
                check(&format!("{name}, byte {byte}, bit {bit}"), &whole, &image, &expected);
            }
            let mut image = whole.image.clone();
            image.0.remove(name);
            let expected = Expected { place: Some((name.clone(), 0)), ..expected(name) };
            check(&format!("{name} is gone"), &whole, &image, &expected);
        }
        if let [first, second, ..] = &names[..] {
            let mut image = whole.image.clone();
            let bytes = whole.image.0[second].clone();
            *image.file(first) = bytes;
            check("a blob in the place of another", &whole, &image, &expected(first));
        }
    }
}

/// Structures that are whole in themselves, as no writer writes them.
#[test]
fn hostile_but_whole_structures_neither_panic_nor_hang() {
    let whole = Whole::closed();
    let superblock = Superblock::newest(&whole.image.0["superblock"]).unwrap().newest;
    let extremes = [
        Lsn::ZERO,
        Lsn::new(1),
        Lsn::new(63),
        whole.end + 1,
        Lsn::new(1 << 40),
        Lsn::new(LAST_BASE),
        Lsn::new((1 << 63) - 1),
    ];
    let mut variants = Vec::new();
    for lsn in extremes {
        variants.push(Superblock { floor: lsn, ..superblock });
        variants.push(Superblock { mark: lsn, ..superblock });
        variants.push(Superblock { floor: lsn, mark: lsn, epoch_start: lsn, ..superblock });
        variants.push(Superblock { epoch_start: lsn, epoch: esker_log::Epoch::new(u32::MAX - 1), ..superblock });
    }
    let mut images = Vec::new();
    for variant in variants {
        let mut image = whole.image.clone();
        for copy in 0..2 {
            image.file("superblock")[copy * SUPERBLOCK_BYTES..][..SUPERBLOCK_BYTES].copy_from_slice(&variant.encode());
        }
        images.push((format!("{variant:?}"), image));
    }
    for slot in 0..whole.slots() {
        let header = whole.segment_header_at(slot);
        for base in [0, 4096, 1 << 40, LAST_BASE - 4096, LAST_BASE].map(Lsn::new) {
            for epoch in [0, 1, u32::MAX - 1, u32::MAX].map(esker_log::Epoch::new) {
                let header = SegmentHeader { base, epoch, floor: base, mark: base, ..header };
                let mut image = whole.image.clone();
                image.file("log")[slot * SEGMENT_BYTES as usize..][..64].copy_from_slice(&header.encode());
                images.push((format!("{header:?}"), image));
            }
        }
    }
    without_hanging("opening", move || {
        for (what, image) in images {
            let storage = image.storage();
            match Log::open(Arc::new(storage.clone()), options()) {
                Ok(log) => {
                    salvage(log.iter_from(Lsn::ZERO).unwrap());
                    for n in 0..30 {
                        drop(log.append(&payload(n, 300)));
                    }
                    drop(log.close());
                }
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::InvalidOptions), "{what}: {error}");
                    assert_eq!(Image::of(&storage), image, "{what}: a log that was refused has changed");
                }
            }
            let reader = reader(&image.storage());
            salvage(reader.iter_from(Lsn::ZERO));
            drop(reader.verify(&mut |_, _| ()).unwrap());
            assert_eq!(reader.stat().unwrap().end, reader.end_lsn(), "{what}");
        }
    });
}

#[test]
fn a_file_that_is_longer_than_any_log_is_refused_at_once() {
    use esker_log::storage::{Access, Storage};
    let storage = Whole::closed().image.storage();
    storage.open("log", Access::ReadWrite).unwrap().set_len(1 << 62).unwrap();
    let open = {
        let storage = storage.clone();
        without_hanging("opening", move || Log::open(Arc::new(storage), options()).unwrap_err())
    };
    let read = without_hanging("reading", move || LogReader::open(Arc::new(storage)).unwrap_err());
    for error in [open, read] {
        assert!(
            matches!(&error, Error::Corrupt(corruption) if matches!(corruption.kind, CorruptionKind::TooLong { .. })),
            "{error}"
        );
    }
}
