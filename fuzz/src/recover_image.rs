//! A log whose files were tampered with: opened for reading and for writing, read, verified, appended to.
//!
//! The input begins with flags: which log to begin with, one that a writer made or one of empty files, and whether right
//! checksums are put in afterwards. Then edits of the files follow. With right checksums, the code behind them meets values
//! that no writer writes; then nothing may panic, be written by a reader, be returned with a wrong checksum, or take more
//! memory than the files justify, and that is all that is asked. Without, every promise must hold: checksums tell what was
//! tampered with.

use std::collections::BTreeMap;
use std::sync::Arc;

use esker_format::{
    BLOB_HEADER_BYTES, Lsn, MESSAGE_HEADER_BYTES, MessageHeader, SEGMENT_HEADER_BYTES, SUPERBLOCK_BYTES, ScanContext,
    Scanner, SegmentBytes, SegmentHeader, Superblock,
};
use esker_log::{Error, Log, LogReader, MessageInfo};
use esker_storage::Storage;

use crate::image::{FIXTURES, Fixture, Image, LOG_ID, SEGMENT_BYTES, options};
use crate::input::Input;
use crate::memory;
use crate::repair::{repair_messages, repair_structure};

const UNCLOSED: u8 = 1;
const REPAIR: u8 = 2;
const BLANK: u8 = 4;
/// Files do not grow beyond this.
const FILE_BYTES_MAX: usize = 1 << 20;
/// What reading and writing a log may take, whatever is in it, and for each byte of its files. Among it are the log's
/// windows and buffers, and copies of the files that are made here.
const MEMORY_BYTES_MIN: usize = 4 << 20;
const MEMORY_PER_BYTE: usize = 16;

/// Runs one input.
///
/// # Panics
///
/// If opening or reading panics, or does not keep its promises.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.u8();
    let fixture = &FIXTURES[usize::from(flags & UNCLOSED)];
    let is_blank = flags & BLANK != 0;
    let mut image = if is_blank { blank() } else { fixture.image.clone() };
    let mut is_plain = flags & REPAIR == 0;
    while !input.is_empty() {
        is_plain &= edit(&mut image, &mut input) == Edit::Plain;
    }
    if flags & REPAIR != 0 {
        repair(&mut image);
    }
    let bytes: usize = image.0.values().map(Vec::len).sum();
    memory::expect_at_most(MEMORY_BYTES_MIN + MEMORY_PER_BYTE * bytes, || {
        let found = read_all(&image, is_plain);
        if is_plain && let Some(found) = &found {
            check_found(&image, (!is_blank).then_some(fixture), found);
        }
        check_writer(&image, found.as_ref(), is_plain);
    });
}

/// Files that a writer has not begun to fill.
fn blank() -> Image {
    Image(["superblock", "log"].map(|name| (name.to_owned(), Vec::new())).into())
}

/// What is found without a fault was written; and what is missing without a word was not durable.
fn check_found(image: &Image, fixture: Option<&Fixture>, found: &Found) {
    let written = |lsn| fixture.and_then(|fixture| fixture.records.get(lsn));
    for (lsn, payload) in &found.records {
        assert_eq!(written(lsn), Some(payload), "the record at {lsn} was never written");
    }
    let Some(fixture) = fixture else { return };
    if found.errors > 0 {
        return;
    }
    // What a mark that can still be read says was durable cannot be missing without a word.
    let mark = highest_mark(image, &fixture.image, found.end);
    let durable = |record: &(&Lsn, &Vec<u8>)| *record.0 >= found.floor && *record.0 < mark;
    let expected = fixture.records.iter().filter(durable);
    let found = found.records.iter().filter(durable);
    assert!(expected.eq(found), "a record below {mark} is missing without a word");
}

/// The highest mark of any piece that can still be found and read. The segment at `end`, where the log seems to end, is
/// found without its header.
fn highest_mark(image: &Image, original: &Image, end: Lsn) -> Lsn {
    let Some(log) = image.0.get("log") else { return Lsn::ZERO };
    let superblock = image.0.get("superblock").and_then(|bytes| Superblock::newest(bytes).ok());
    let mut mark = superblock.map_or(Lsn::ZERO, |copies| copies.newest.mark);
    let segment_bytes = SegmentBytes::new(SEGMENT_BYTES as u32).expect("the size is valid");
    let context = ScanContext::new(LOG_ID.checksum_seed(), segment_bytes);
    for (segment, original) in log.chunks(SEGMENT_BYTES).zip(original.0["log"].chunks(SEGMENT_BYTES)) {
        let (found, original) = (SegmentHeader::decode(segment), SegmentHeader::decode(original));
        if let Ok(header) = found {
            mark = mark.max(header.mark);
        }
        if let Ok(header) = original
            && (found == original || (found.is_err() && header.base == end))
        {
            let survey = Scanner::new(segment, header.base, context).survey();
            mark = mark.max(survey.highest_mark.map_or(Lsn::ZERO, |highest| highest.mark));
        }
    }
    mark
}

/// What an edit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edit {
    /// It changed bytes, as a fault of the disk would.
    Plain,
    /// It put right checksums into what may have been changed.
    Repair,
}

/// Changes a file. What makes no sense is brought into range.
fn edit(image: &mut Image, input: &mut Input<'_>) -> Edit {
    let operation = match input.u8() {
        small @ ..252 => small % 7,
        large => large,
    };
    let names: Vec<_> = image.0.keys().cloned().collect();
    let Some(name) = names.get(usize::from(input.u8()) % names.len().max(1)) else { return Edit::Plain };
    let at = input.u32() as usize;
    let bytes = image.0.get_mut(name).expect("the name was listed");
    let len = bytes.len();
    let place = at % len.max(1);
    match operation {
        0 => {
            let bit = input.u8() % 8;
            bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1 << bit);
        }
        1 => {
            let value = input.u64().to_le_bytes();
            bytes.iter_mut().skip(place).zip(value).for_each(|(byte, value)| *byte = value);
        }
        2 => {
            let value = input.u8();
            let count = usize::from(input.u16());
            bytes.iter_mut().skip(place).take(count).for_each(|byte| *byte = value);
        }
        3 => bytes.resize(at % FILE_BYTES_MAX, 0),
        4 => drop(image.0.remove(name)),
        5 => {
            let from = input.u32() as usize % len.max(1);
            let count = usize::from(input.u16()).min(len - from).min(len - place);
            bytes.copy_within(from..from + count, place);
        }
        // Any bytes at all.
        252 | 253 => {
            let count = usize::from(input.u16() % 2048);
            let end = (place + count).min(FILE_BYTES_MAX);
            bytes.resize(len.max(end), 0);
            bytes[place..end].iter_mut().for_each(|byte| *byte = input.u8());
        }
        // A right checksum for a structure of some size.
        254 => repair_structure(&mut bytes[place..], usize::from(input.u16()).max(SEGMENT_HEADER_BYTES)),
        // A right checksum for what may be a message, though it says that it is elsewhere.
        255 => repair_messages(&mut bytes[place..], None, true, LOG_ID.checksum_seed()),
        // A whole segment to another slot, as a misdirected write would put it.
        _ => {
            let slots = (len / SEGMENT_BYTES).max(1);
            let (from, to) = (usize::from(input.u8()) % slots, at % slots);
            let count = SEGMENT_BYTES.min(len);
            bytes.copy_within(from * SEGMENT_BYTES..from * SEGMENT_BYTES + count, to * SEGMENT_BYTES);
        }
    }
    if operation >= 254 { Edit::Repair } else { Edit::Plain }
}

/// Puts right checksums wherever there should be one.
fn repair(image: &mut Image) {
    if let Some(superblock) = image.0.get_mut("superblock") {
        superblock.chunks_mut(SUPERBLOCK_BYTES).for_each(|copy| repair_structure(copy, SUPERBLOCK_BYTES));
    }
    let blobs = image.0.iter_mut().filter(|(name, _)| name.starts_with("blob-"));
    blobs.for_each(|(_, blob)| repair_structure(blob, BLOB_HEADER_BYTES));
    let Some(log) = image.0.get_mut("log") else { return };
    for segment in log.chunks_mut(SEGMENT_BYTES) {
        repair_structure(segment, SEGMENT_HEADER_BYTES);
        let Ok(header) = SegmentHeader::decode(segment) else { continue };
        let first = header.base.checked_add(SEGMENT_HEADER_BYTES as u64);
        repair_messages(&mut segment[SEGMENT_HEADER_BYTES..], first, true, LOG_ID.checksum_seed());
    }
}

/// What a reader finds.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    floor: Lsn,
    end: Lsn,
    records: BTreeMap<Lsn, Vec<u8>>,
    errors: usize,
    is_damaged: bool,
}

/// Reads in every way there is. `None` if the log does not open.
fn read_all(image: &Image, is_plain: bool) -> Option<Found> {
    let storage = image.storage();
    let found = match LogReader::open(storage.clone()) {
        Ok(reader) => Some(read(image, &reader, is_plain)),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    };
    assert_eq!(&Image::of(storage.as_ref()), image, "reading has changed the files");
    found
}

fn read(image: &Image, reader: &LogReader, is_plain: bool) -> Found {
    let mut records = BTreeMap::new();
    let mut errors = 0;
    let mut last = None;
    for record in reader.iter_from(reader.floor()) {
        match record {
            Ok(record) => {
                assert!(last < Some(record.lsn()), "{} comes after {last:?}", record.lsn());
                last = Some(record.lsn());
                let again = reader.read(record.lsn()).expect("what is iterated over can be read");
                assert_eq!(again.payload(), record.payload());
                records.insert(record.lsn(), record.into_payload());
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                errors += 1;
            }
        }
    }
    let whole: Vec<_> = reader.messages().flatten().collect();
    whole.iter().for_each(|message| check_message(image, message));
    let verified = reader.verify(&mut |_, _| {}).expect("memory does not fail");
    assert_eq!(verified.messages, whole.len() as u64);
    let is_damaged = reader.report().damage.is_some();
    assert!(!(is_damaged && verified.is_clean()), "the damage is not verified: {}", reader.report());
    if is_plain {
        assert_eq!(verified.records, records.len() as u64);
    }
    let _ = reader.stat().expect("memory does not fail");
    Found {
        floor: reader.floor(),
        end: reader.end_lsn(),
        records,
        errors: errors + usize::from(is_damaged),
        is_damaged,
    }
}

/// A message that is said to be whole is so by its checksum.
fn check_message(image: &Image, message: &MessageInfo) {
    let from = message.offset.get() as usize;
    let bytes = &image.0["log"][from..from + MESSAGE_HEADER_BYTES + message.len as usize];
    let (header, crc32) = MessageHeader::decode(bytes).expect("it is whole");
    let log_id = Superblock::newest(&image.0["superblock"]).expect("the log is open").newest.log_id;
    assert_eq!((header.lsn, crc32), (message.lsn, message.crc32));
    assert_eq!(header.verify(bytes, log_id.checksum_seed()), Ok(()), "at {}", message.lsn);
}

/// Opens for writing, appends, closes and reads again. What could be read before must be there still.
fn check_writer(image: &Image, before: Option<&Found>, is_plain: bool) {
    let storage = image.storage();
    let log = match Log::open(storage.clone(), options().create(false)) {
        Ok(log) => log,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert_eq!(&Image::of(storage.as_ref()), image, "a refused log was changed: {error}");
            return;
        }
    };
    let before = before.expect("what opens for writing opens for reading");
    assert!(!before.is_damaged, "what is damaged opens for writing");
    let payload = b"appended afterwards";
    let lsn = match append(&log, payload) {
        Ok(lsn) => lsn,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!(lsn >= before.end, "{lsn} lies below the end {}", before.end);
    log.close().expect("memory does not fail");
    let reader = LogReader::open(Arc::clone(&storage) as Arc<dyn Storage>).expect("what was closed opens");
    assert!(reader.report().clean, "{}", reader.report());
    let after = read(&Image::of(storage.as_ref()), &reader, is_plain);
    if !is_plain {
        return;
    }
    assert_eq!(after.records.get(&lsn).map(Vec::as_slice), Some(&payload[..]));
    assert!(before.records.iter().eq(after.records.iter().filter(|(at, _)| **at != lsn)), "records have changed");
}

fn append(log: &Log, payload: &[u8]) -> Result<Lsn, Error> {
    let lsn = log.append_durable(payload)?;
    assert_eq!(log.read(lsn)?.payload(), payload);
    Ok(lsn)
}
