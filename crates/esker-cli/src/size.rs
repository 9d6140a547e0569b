//! Sizes in bytes, as people write them.
//!
//! Owns reading `64k` or `8MiB` and writing `8.0 MiB`. Units are powers of 1024; `kB` and `MB`, which mean both, are
//! refused.

/// Reads a size: digits, and then nothing or one of `k`, `KiB`, `M`, `MiB`, `G`, `GiB` in any case.
pub(crate) fn parse(text: &str) -> Result<u32, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        _ => return Err(format!("{unit:?} is no unit: use k, M or G, or KiB, MiB or GiB")),
    };
    let number: u64 = number.parse().map_err(|_| "a size begins with digits, as in 64k or 8MiB".to_owned())?;
    number
        .checked_mul(1 << shift)
        .and_then(|bytes| u32::try_from(bytes).ok())
        .ok_or_else(|| format!("{text} is above the largest size, 4 GiB less one byte"))
}

/// Writes a size for people.
pub(crate) fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let unit = (bytes.ilog2() / 10).min(6);
    // A float has digits enough for the one decimal that is shown.
    let value = bytes as f64 / (1_u64 << (10 * unit)) as f64;
    format!("{value:.1} {}", UNITS[unit as usize - 1])
}

#[cfg(test)]
mod tests {
    use super::{human, parse};

    #[test]
    fn sizes_are_read_with_units_of_1024() {
        let cases = [
            ("0", 0),
            ("64", 64),
            ("64b", 64),
            ("64k", 64 << 10),
            ("64K", 64 << 10),
            ("64KiB", 64 << 10),
            ("8MiB", 8 << 20),
            ("8m", 8 << 20),
            ("3G", 3 << 30),
            ("4294967295", u32::MAX),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "k", "-1", "1.5M", "1kB", "1MB", "4G", "4294967296", "99999999999999999999", "1 k", "1é"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_written_with_one_decimal() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (16 << 20, "16.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(human(bytes), text);
        }
    }
}
