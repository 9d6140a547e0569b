//! Putting right checksums into bytes that were made up, because a fuzzer will not find a CRC-32 by itself and most of the
//! code lies behind one.

use esker_format::layout::{self, Field};
use esker_format::{ChecksumSeed, LogId, Lsn, MESSAGE_HEADER_BYTES, RawMessageHeader};

fn field(fields: &[Field], name: &str) -> Field {
    *fields.iter().find(|field| field.name == name).expect("the field exists")
}

/// Goes from message to message as far as the claimed lengths lead, and puts in LSNs that count from that of the first, if
/// it is given, and checksums, if they are wanted.
pub(crate) fn repair_messages(bytes: &mut [u8], first: Option<Lsn>, checksums: bool, seed: ChecksumSeed) {
    let crc32 = field(&layout::MESSAGE_HEADER, "crc32");
    let lsn = field(&layout::MESSAGE_HEADER, "lsn");
    let mut at = 0;
    while let Some(raw) = RawMessageHeader::decode(&bytes[at..]) {
        let end = at + MESSAGE_HEADER_BYTES + raw.len as usize;
        let Some(message) = bytes.get_mut(at..end) else { break };
        if let Some(first) = first {
            let Some(place) = first.checked_add(at as u64) else { break };
            message[lsn.offset..lsn.end()].copy_from_slice(&place.get().to_le_bytes());
        }
        if checksums {
            let sum = seed.checksum(&message[crc32.end()..]);
            message[crc32.offset..crc32.end()].copy_from_slice(&sum.to_le_bytes());
        }
        at = end;
    }
}

/// Puts the right checksum into a structure of `size` bytes at the beginning of `bytes`.
pub(crate) fn repair_structure(bytes: &mut [u8], size: usize) {
    let Some(structure) = bytes.get_mut(..size) else { return };
    let crc32 = field(&layout::SEGMENT_HEADER, "crc32");
    let log_id = field(&layout::SEGMENT_HEADER, "log_id");
    let id = LogId::from_bytes(structure[log_id.offset..log_id.end()].try_into().expect("an identity has 16 bytes"));
    let sum = id.checksum_seed().checksum(&structure[crc32.end()..]);
    structure[crc32.offset..crc32.end()].copy_from_slice(&sum.to_le_bytes());
}
