//! Where the fields of every structure lie. Only names and widths are stated; offsets follow from them, and constants prove
//! that each structure is filled exactly, without a gap or an overlap.
//!
//! Owns the sizes of all structures and the field lists that the encoders, the decoders and the tables of FORMAT.md share.
//! Refuses to know what the fields mean.
//!
//! # Invariants
//!
//! - L1 (one declaration): no offset is written down twice; every encoder and decoder takes it from a list below.
//! - L2 (filled exactly): the fields of a structure are disjoint and their widths add up to its size.

/// Size of a message header in bytes.
pub const MESSAGE_HEADER_BYTES: usize = 24;
/// The longest payload of a message in bytes: 2^24 - 1.
pub const PAYLOAD_BYTES_MAX: u32 = (1 << PAYLOAD_LEN_BITS) - 1;
/// Size of a segment header in bytes.
pub const SEGMENT_HEADER_BYTES: usize = 64;
/// Size of one copy of the superblock in bytes.
pub const SUPERBLOCK_BYTES: usize = 4096;
/// How many copies of the superblock there are, one after the other.
pub const SUPERBLOCK_COPIES: usize = 2;
/// Size of the payload of a [`BlobPointer`](crate::MessageKind::BlobPointer) message in bytes.
pub const BLOB_POINTER_BYTES: usize = 28;
/// Size of the header of a blob file in bytes; the payload follows it.
pub const BLOB_HEADER_BYTES: usize = 64;

/// How many low bits of `kind_len` hold the payload's length; the kind has the rest.
pub const PAYLOAD_LEN_BITS: u32 = 24;

/// The fields of a message header.
pub const MESSAGE_HEADER: [Field; 5] =
    lay_out([("crc32", 4), ("kind_len", 4), ("lsn", 8), ("unsynced", 4), ("epoch", 4)]);

/// The fields of a segment header.
pub const SEGMENT_HEADER: [Field; 11] = lay_out([
    ("magic", 8),
    ("crc32", 4),
    ("version", 2),
    ("header_bytes", 2),
    ("log_id", 16),
    ("base", 8),
    ("floor", 8),
    ("mark", 8),
    ("epoch", 4),
    ("segment_log2", 1),
    ("zero", 3),
]);

/// The fields of one copy of the superblock.
pub const SUPERBLOCK: [Field; 12] = lay_out([
    ("magic", 8),
    ("crc32", 4),
    ("version", 2),
    ("segment_log2", 1),
    ("clean", 1),
    ("log_id", 16),
    ("generation", 8),
    ("epoch_start", 8),
    ("floor", 8),
    ("mark", 8),
    ("epoch", 4),
    ("zero", 4028),
]);

/// The fields of the payload of a blob pointer.
pub const BLOB_POINTER: [Field; 5] = lay_out([("hint", 8), ("epoch", 4), ("n", 4), ("len", 8), ("payload_crc32", 4)]);

/// The fields of the header of a blob file.
pub const BLOB_HEADER: [Field; 11] = lay_out([
    ("magic", 8),
    ("crc32", 4),
    ("version", 2),
    ("header_bytes", 2),
    ("log_id", 16),
    ("hint", 8),
    ("len", 8),
    ("epoch", 4),
    ("n", 4),
    ("payload_crc32", 4),
    ("zero", 4),
]);

/// L2, and what the encoders take for granted.
const _: () = {
    assert!(is_filled(&MESSAGE_HEADER, MESSAGE_HEADER_BYTES));
    assert!(is_filled(&SEGMENT_HEADER, SEGMENT_HEADER_BYTES));
    assert!(is_filled(&SUPERBLOCK, SUPERBLOCK_BYTES));
    assert!(is_filled(&BLOB_POINTER, BLOB_POINTER_BYTES));
    assert!(is_filled(&BLOB_HEADER, BLOB_HEADER_BYTES));
    // A checksum covers everything behind it, and a reader of any version finds the same prefix in all three.
    let mut i = 0;
    while i < 3 {
        assert!(SEGMENT_HEADER[i].is_same(SUPERBLOCK[i]));
        assert!(SEGMENT_HEADER[i].is_same(BLOB_HEADER[i]));
        i += 1;
    }
    assert!(field(&SEGMENT_HEADER, "log_id").is_same(field(&SUPERBLOCK, "log_id")));
    assert!(field(&SEGMENT_HEADER, "log_id").is_same(field(&BLOB_HEADER, "log_id")));
};

/// One field of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, as in FORMAT.md.
    pub name: &'static str,
    /// Where it begins, in bytes from the beginning of the structure.
    pub offset: usize,
    /// Its width in bytes.
    pub bytes: usize,
}

impl Field {
    /// One past the field's last byte.
    #[must_use]
    pub const fn end(self) -> usize {
        self.offset + self.bytes
    }

    const fn is_same(self, other: Self) -> bool {
        is_same_name(self.name, other.name) && self.offset == other.offset && self.bytes == other.bytes
    }

    /// The field's bytes in `structure`.
    ///
    /// The width is a parameter of the type, so that the compiler sees it; that it is the field's own is checked, and the
    /// check is free because every caller passes a constant field.
    #[inline(always)]
    pub(crate) fn bytes_of<const N: usize>(self, structure: &[u8]) -> [u8; N] {
        assert!(N == self.bytes, "field {} has {} bytes, not {N}", self.name, self.bytes);
        let mut value = [0; N];
        value.copy_from_slice(&structure[self.offset..self.offset + N]);
        value
    }

    #[inline(always)]
    pub(crate) fn u8_of(self, structure: &[u8]) -> u8 {
        u8::from_le_bytes(self.bytes_of(structure))
    }

    #[inline(always)]
    pub(crate) fn u16_of(self, structure: &[u8]) -> u16 {
        u16::from_le_bytes(self.bytes_of(structure))
    }

    #[inline(always)]
    pub(crate) fn u32_of(self, structure: &[u8]) -> u32 {
        u32::from_le_bytes(self.bytes_of(structure))
    }

    #[inline(always)]
    pub(crate) fn u64_of(self, structure: &[u8]) -> u64 {
        u64::from_le_bytes(self.bytes_of(structure))
    }

    /// Writes the field's bytes into `structure`.
    #[inline(always)]
    pub(crate) fn put<const N: usize>(self, structure: &mut [u8], value: [u8; N]) {
        assert!(N == self.bytes, "field {} has {} bytes, not {N}", self.name, self.bytes);
        structure[self.offset..self.offset + N].copy_from_slice(&value);
    }
}

/// The field of `fields` with this name. In a constant, a missing one does not compile.
#[must_use]
pub(crate) const fn field(fields: &[Field], name: &str) -> Field {
    let mut i = 0;
    while i < fields.len() {
        if is_same_name(fields[i].name, name) {
            return fields[i];
        }
        i += 1;
    }
    panic!("no field of this name");
}

/// Places fields of these widths one after the other.
const fn lay_out<const N: usize>(widths: [(&'static str, usize); N]) -> [Field; N] {
    let mut fields = [Field { name: "", offset: 0, bytes: 0 }; N];
    let mut offset = 0;
    let mut i = 0;
    while i < N {
        let (name, bytes) = widths[i];
        fields[i] = Field { name, offset, bytes };
        offset += bytes;
        i += 1;
    }
    fields
}

/// Whether `fields` follow each other from 0 to `total` without a gap or an overlap, under different names.
const fn is_filled(fields: &[Field], total: usize) -> bool {
    let mut end = 0;
    let mut i = 0;
    while i < fields.len() {
        if fields[i].offset != end || fields[i].bytes == 0 {
            return false;
        }
        let mut earlier = 0;
        while earlier < i {
            if is_same_name(fields[earlier].name, fields[i].name) {
                return false;
            }
            earlier += 1;
        }
        end = fields[i].end();
        i += 1;
    }
    end == total
}

const fn is_same_name(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn named(name: &'static str, offset: usize, bytes: usize) -> Field {
        Field { name, offset, bytes }
    }

    #[test]
    fn fields_are_the_same_only_in_all_respects() {
        let field = named("a", 4, 8);
        assert!(field.is_same(field));
        for other in [named("b", 4, 8), named("a", 5, 8), named("a", 4, 7)] {
            assert!(!field.is_same(other), "{other:?}");
        }
    }

    #[test]
    fn fields_fill_a_structure_or_they_do_not() {
        let (a, b) = (named("a", 0, 4), named("b", 4, 2));
        assert!(is_filled(&[a, b], 6));
        let faults: [(&[Field], usize); 6] = [
            (&[a, b], 7),
            (&[a, named("b", 5, 1)], 6),
            (&[a, named("b", 3, 3)], 6),
            (&[a, named("b", 4, 0)], 4),
            (&[a, named("a", 4, 2)], 6),
            (&[a, b, named("a", 6, 1)], 7),
        ];
        for (fields, total) in faults {
            assert!(!is_filled(fields, total), "{fields:?}");
        }
    }
}
