//! What segment headers, superblocks and blob headers have in common: magic, checksum, version and identity.
//!
//! Owns the checks that come before any other field is believed, in the order that tells damage from a newer version:
//! magic, checksum, version. The places of these fields and the coverage of the checksum are the same in every version
//! (constants in `layout` prove it for this one), so the order works for versions yet to come.

use crate::error::StructureError;
use crate::identity::{ChecksumMismatch, LogId};
use crate::layout::{self, Field};
use crate::position::Lsn;

/// The version of the format that this crate reads and writes.
pub const FORMAT_VERSION: u16 = 1;

const MAGIC: Field = layout::field(&layout::SEGMENT_HEADER, "magic");
const CRC32: Field = layout::field(&layout::SEGMENT_HEADER, "crc32");
const VERSION: Field = layout::field(&layout::SEGMENT_HEADER, "version");
const LOG_ID: Field = layout::field(&layout::SEGMENT_HEADER, "log_id");

/// Writes magic, version and identity into `bytes`, and then the checksum of everything behind itself.
pub(crate) fn seal<const N: usize>(bytes: &mut [u8; N], magic: [u8; 8], log_id: LogId) {
    MAGIC.put(bytes, magic);
    VERSION.put(bytes, FORMAT_VERSION.to_le_bytes());
    LOG_ID.put(bytes, log_id.to_bytes());
    let crc = log_id.checksum_seed().checksum(&bytes[CRC32.end()..]);
    CRC32.put(bytes, crc.to_le_bytes());
}

/// The first `N` bytes and the identity in them, if magic, checksum and version are right.
pub(crate) fn open<const N: usize>(bytes: &[u8], magic: [u8; 8]) -> Result<(&[u8; N], LogId), StructureError> {
    let Some(bytes) = bytes.first_chunk::<N>() else {
        return Err(StructureError::Cut { have: bytes.len(), need: N });
    };
    let found = MAGIC.bytes_of(bytes);
    if found != magic {
        return Err(if bytes.iter().all(|&byte| byte == 0) {
            StructureError::Blank
        } else {
            StructureError::Magic { found, expected: magic }
        });
    }
    let log_id = LogId::from_bytes(LOG_ID.bytes_of(bytes));
    let expected = CRC32.u32_of(bytes);
    let found = log_id.checksum_seed().checksum(&bytes[CRC32.end()..]);
    if expected != found {
        return Err(ChecksumMismatch { expected, found }.into());
    }
    match VERSION.u16_of(bytes) {
        FORMAT_VERSION => Ok((bytes, log_id)),
        found => Err(StructureError::Version { found, supported: FORMAT_VERSION }),
    }
}

/// The LSN in a field, if a log can come to it.
pub(crate) fn lsn_of(bytes: &[u8], field: Field) -> Result<Lsn, StructureError> {
    match Lsn::new(field.u64_of(bytes)) {
        lsn if lsn < Lsn::LIMIT => Ok(lsn),
        lsn => Err(StructureError::BeyondLimit { name: field.name, lsn }),
    }
}

/// Checks that a field is all zero, as one that means nothing must be.
pub(crate) fn check_zero(bytes: &[u8], field: Field) -> Result<(), StructureError> {
    match bytes[field.offset..field.end()].iter().position(|&byte| byte != 0) {
        None => Ok(()),
        Some(at) => Err(StructureError::NotZero { offset: field.offset + at }),
    }
}
