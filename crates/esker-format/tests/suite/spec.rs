//! FORMAT.md says what the code does: its tables, its numbers, its example.

use esker_format::layout::{self, Field};
use esker_format::{
    BlobHeader, BlobId, BlobPointer, Epoch, FORMAT_VERSION, LogId, Lsn, MessageKind, Scanner, SegmentBytes,
    SegmentHeader, Superblock,
};

use crate::hex;
use crate::segment::{BASE, LOG_ID, Segment, context};

const SPEC: &str = include_str!("../../FORMAT.md");

/// What stands under a heading, up to the next one.
#[track_caller]
fn section(heading: &str) -> &'static str {
    let begin = SPEC.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("there is no heading {heading:?}"));
    let rest = &SPEC[begin + heading.len() + 2..];
    &rest[..rest.find("\n#").unwrap_or(rest.len())]
}

/// The cells of the rows of the first table that begins with these columns.
#[track_caller]
fn table(section: &str, columns: &[&str]) -> Vec<Vec<String>> {
    let cells = |row: &str| -> Vec<String> {
        row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    let mut rows = section.lines().skip_while(|row| !row.starts_with('|') || cells(row)[..columns.len()] != *columns);
    assert!(rows.next().is_some(), "there is no table of {columns:?}");
    rows.skip(1).take_while(|row| row.starts_with('|')).map(cells).collect()
}

#[track_caller]
fn check_layout(heading: &str, fields: &[Field]) {
    let rows = table(section(heading), &["Offset", "Size", "Field", "Rule"]);
    let specified: Vec<_> = rows.iter().map(|row| (row[0].clone(), row[1].clone(), row[2].clone())).collect();
    let coded: Vec<_> =
        fields.iter().map(|field| (field.offset.to_string(), field.bytes.to_string(), field.name.to_owned())).collect();
    assert_eq!(specified, coded, "{heading}");
}

#[test]
fn tables_are_the_layouts() {
    check_layout("### Message header", &layout::MESSAGE_HEADER);
    check_layout("### Segment header", &layout::SEGMENT_HEADER);
    check_layout("### Superblock", &layout::SUPERBLOCK);
    check_layout("### Blob pointer", &layout::BLOB_POINTER);
    check_layout("### Blob header", &layout::BLOB_HEADER);
}

#[test]
fn kinds_are_the_table_of_kinds() {
    let rows = table(section("### Message header"), &["Kind", "Name", "Payload"]);
    let specified: Vec<_> = rows.iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let coded = MessageKind::ALL.map(|kind| (kind.to_u8().to_string(), kind.name().to_owned()));
    assert_eq!(specified, coded);
    for number in 0..=u8::MAX {
        let listed = MessageKind::ALL.into_iter().find(|kind| kind.to_u8() == number);
        assert_eq!(MessageKind::from_u8(number), listed, "{number}");
    }
}

#[test]
fn rules_state_the_magics_and_the_version() {
    let magics = [
        ("### Segment header", SegmentHeader::MAGIC),
        ("### Superblock", Superblock::MAGIC),
        ("### Blob header", BlobHeader::MAGIC),
    ];
    for (heading, magic) in magics {
        let rows = table(section(heading), &["Offset", "Size", "Field", "Rule"]);
        let rule = |field: &str| rows.iter().find(|row| row[2] == field).map(|row| row[3].clone());
        assert_eq!(rule("magic"), String::from_utf8(magic.to_vec()).ok(), "{heading}");
        assert_eq!(rule("version"), Some(FORMAT_VERSION.to_string()), "{heading}");
    }
    assert!(SPEC.starts_with(&format!("# The on-disk format of esker, version {FORMAT_VERSION}\n")));
}

#[test]
fn segment_sizes_are_those_of_the_text() {
    let (min, max) = (SegmentBytes::MIN.log2(), SegmentBytes::MAX.log2());
    assert!(section("## The logical log").contains(&format!("a power of two from 2^{min} to 2^{max}")));
    assert!(section("## The logical log").contains(&format!("The first message of a log has LSN {}", Lsn::FIRST)));
}

#[test]
fn limits_are_those_of_the_text() {
    assert_eq!((Lsn::LIMIT.get(), Superblock::GENERATION_LIMIT), (1 << 63, 1 << 63));
    assert!(section("## The logical log").contains("No LSN in a log reaches 2^63."));
    assert!(section("### Superblock").contains("Higher with each update, below 2^63."));
}

#[test]
fn checksum_is_the_crc_of_identity_and_bytes() {
    // The check value that catalogues of CRCs give, reached through a log identity that is a part of the input.
    let digits: Vec<u8> = (b'0'..=b'9').cycle().take(25).collect();
    let id = LogId::from_bytes(digits[..16].try_into().unwrap());
    assert_eq!(id.checksum_seed().checksum(&digits[16..]), crc32fast::hash(&digits));
    assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
    assert!(SPEC.contains("The CRC-32 of the nine bytes `123456789` is `0xcbf43926`"));
}

/// The segment that the example shows, made by the code.
fn example() -> Segment {
    let mut segment = Segment::new();
    segment.push(MessageKind::Inline, b"hello");
    let value = b"a value too large for a segment";
    let header = BlobHeader {
        log_id: LOG_ID,
        id: BlobId { hint: segment.end(), epoch: segment.epoch, n: 0 },
        len: value.len() as u64,
        payload_crc32: LOG_ID.checksum_seed().checksum(value),
    };
    header.verify_payload(value).unwrap();
    segment.push(MessageKind::BlobPointer, &header.pointer().encode());
    segment.mark = header.id.hint;
    segment.push(MessageKind::Aborted, &[0; 3]);
    segment.mark = segment.end();
    segment.push(MessageKind::Mark, b"");
    segment.mark = segment.end();
    segment.epoch = Epoch::new(2);
    segment.push(MessageKind::Inline, b"again");
    segment.pad();
    segment
}

#[test]
fn example_is_what_the_code_writes() {
    let (_, rest) = SPEC.split_once("```hex\n").unwrap();
    let golden = hex::parse(rest.split_once("```").unwrap().0);
    hex::assert_same(&example().bytes, &golden);
}

#[test]
fn example_is_read_as_the_text_says() {
    let bytes = example().bytes;
    let mut scanner = Scanner::new(&bytes, BASE, context());
    let kinds: Vec<_> = scanner.by_ref().map(|message| message.unwrap().header.kind).collect();
    let expected = [
        MessageKind::Inline,
        MessageKind::BlobPointer,
        MessageKind::Aborted,
        MessageKind::Mark,
        MessageKind::Inline,
        MessageKind::Pad,
    ];
    assert_eq!(kinds, expected);
    assert!(scanner.is_complete());
    let blob = Scanner::new(&bytes, BASE, context()).nth(1).unwrap().unwrap();
    let pointer = BlobPointer::decode(blob.payload).unwrap();
    assert_eq!((pointer.id.hint, pointer.len), (blob.lsn(), 31));
    assert_eq!(blob.header.mark, BASE);
}
