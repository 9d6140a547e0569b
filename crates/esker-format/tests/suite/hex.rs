//! Annotated hex dumps: an offset, bytes, a bar and a comment. What is left out is zero; a last row
//! with an offset alone gives the size. Rows that begin with `#` are comments.

pub(crate) fn parse(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in text.lines().filter(|row| !row.starts_with('#') && !row.trim().is_empty()) {
        let mut words = row.split('|').next().expect("split yields at least one part").split_whitespace();
        let offset = words.next().expect("the row is not blank");
        let offset =
            usize::from_str_radix(offset, 16).unwrap_or_else(|error| panic!("{error} in the offset of {row:?}"));
        assert!(offset >= bytes.len(), "row {row:?} goes back behind {:x}", bytes.len());
        bytes.resize(offset, 0);
        bytes.extend(words.map(|byte| {
            assert_eq!(byte.len(), 2, "{byte:?} in {row:?} is not a byte");
            u8::from_str_radix(byte, 16).unwrap_or_else(|error| panic!("{error} in {row:?}"))
        }));
    }
    bytes
}

/// Compares bytes and says where they begin to differ.
#[track_caller]
pub(crate) fn assert_same(found: &[u8], expected: &[u8]) {
    let differing = found.iter().zip(expected).position(|(found, expected)| found != expected);
    if let Some(at) = differing {
        panic!("byte {at:#x} is {:02x}, expected {:02x}", found[at], expected[at]);
    }
    assert_eq!(found.len(), expected.len(), "the lengths differ");
}

#[test]
fn gaps_are_zero_and_the_last_row_is_the_size() {
    assert_eq!(parse("# a comment\n0001  0a ff | two bytes 00\n\n0004  01\n0006\n"), [0, 0x0a, 0xff, 0, 1, 0]);
}
