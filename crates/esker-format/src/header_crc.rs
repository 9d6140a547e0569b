//! The CRC-32 of a message header's twenty covered bytes, from their values.
//!
//! crc32fast reads sixteen bytes at a time. Where those were stored just now in smaller pieces, as the fields of a header
//! are, a processor has to wait until the stores are done before it can load them together, for about as long as the
//! checksum of a small message takes; and twenty bytes before a payload leave most payloads a rest to be summed byte by
//! byte. So the header is summed here, from registers, and crc32fast goes on with the payload.
//!
//! Owns the tables of the same CRC-32 (polynomial 0xedb88320, reflected), eight bytes a step: the method is "slicing-by-8"
//! (M. E. Kounavis and F. L. Berry, "A Systematic Approach to Building High Performance Software-Based CRC Generators",
//! 2005).

/// `TABLES[i][byte]` is what `byte` makes of a sum when `i` more bytes follow it.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        tables[0][byte] = sum;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before: u32 = tables[table - 1][byte];
            tables[table][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

/// The CRC-32 `crc`, gone on with the little-endian bytes of `first`, `second` and `last`.
#[inline]
pub(crate) fn go_on(crc: u32, first: u64, second: u64, last: u32) -> u32 {
    let sum = eight(eight(!crc, first), second);
    let [a, b, c, d] = (last ^ sum).to_le_bytes();
    !(TABLES[3][usize::from(a)] ^ TABLES[2][usize::from(b)] ^ TABLES[1][usize::from(c)] ^ TABLES[0][usize::from(d)])
}

#[inline]
fn eight(sum: u32, bytes: u64) -> u32 {
    let bytes = (bytes ^ u64::from(sum)).to_le_bytes();
    let mut next = 0;
    for (byte, table) in bytes.into_iter().zip(TABLES.iter().rev()) {
        next ^= table[usize::from(byte)];
    }
    next
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_the_library_says(crc: u32, first: u64, second: u64, last: u32) {
            let mut hasher = crc32fast::Hasher::new_with_initial(crc);
            hasher.update(&first.to_le_bytes());
            hasher.update(&second.to_le_bytes());
            hasher.update(&last.to_le_bytes());
            prop_assert_eq!(go_on(crc, first, second, last), hasher.finalize());
        }
    }
}
