//! Standard output.
//!
//! Owns the one locked buffer, the formats of a record, and the rule that a reader who leaves is no error (L3).

use std::{
    fmt::Display,
    io::{self, BufWriter, StdoutLock, Write},
};

use base64::{display::Base64Display, engine::general_purpose::STANDARD};
use esker::{Lsn, Record};

use crate::{args::Format, ending::Failure};

const BUFFER_BYTES: usize = 64 << 10;

/// Standard output, locked and buffered. What is not flushed when it is dropped is lost, so [`Output::finish`] it.
#[derive(Debug)]
pub(crate) struct Output {
    out: BufWriter<StdoutLock<'static>>,
}

impl Output {
    /// Locks standard output for the calling thread.
    pub(crate) fn lock() -> Self {
        Self { out: BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock()) }
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(|error| Failure::output(&error))
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: &dyn Display) -> Result<(), Failure> {
        writeln!(self.out, "{line}").map_err(|error| Failure::output(&error))
    }

    /// Writes a record.
    pub(crate) fn record(&mut self, format: Format, record: &Record) -> Result<(), Failure> {
        write_record(&mut self.out, format, record.lsn(), record.payload()).map_err(|error| Failure::output(&error))
    }

    /// Hands over everything written so far.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| Failure::output(&error))
    }

    /// Hands over everything and ends.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.flush()
    }
}

/// Settles which format `--json` and `--output` ask for together.
pub(crate) fn format(json: bool, chosen: Option<Format>) -> Result<Format, Failure> {
    match (json, chosen) {
        (false, None) => Ok(Format::Raw),
        (false, Some(format)) => Ok(format),
        (true, None | Some(Format::Jsonl)) => Ok(Format::Jsonl),
        (true, Some(_)) => Err(Failure::usage("--json writes JSON lines and cannot be used with another --output")),
    }
}

/// Writes the three columns that acknowledge a record.
pub(crate) fn write_meta(out: &mut impl Write, lsn: Lsn, payload: &[u8]) -> io::Result<()> {
    writeln!(out, "{lsn}\t{}\t{:08x}", payload.len(), crc32fast::hash(payload))
}

fn write_record(out: &mut impl Write, format: Format, lsn: Lsn, payload: &[u8]) -> io::Result<()> {
    match format {
        Format::Raw => {
            out.write_all(payload)?;
            out.write_all(b"\n")
        }
        Format::Nul => {
            out.write_all(payload)?;
            out.write_all(b"\0")
        }
        Format::Len32 => {
            let len = u32::try_from(payload.len()).map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidData, format!("the record at lsn {lsn} is too long for len32"))
            })?;
            out.write_all(&len.to_le_bytes())?;
            out.write_all(payload)
        }
        Format::Hex => {
            write_hex(out, payload)?;
            out.write_all(b"\n")
        }
        Format::Base64 => writeln!(out, "{}", Base64Display::new(payload, &STANDARD)),
        Format::Jsonl => writeln!(
            out,
            r#"{{"lsn":{lsn},"len":{},"crc32":"{:08x}","payload_base64":"{}"}}"#,
            payload.len(),
            crc32fast::hash(payload),
            Base64Display::new(payload, &STANDARD)
        ),
        Format::Meta => write_meta(out, lsn, payload),
    }
}

fn write_hex(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 512];
    for chunk in bytes.chunks(text.len() / 2) {
        for (pair, byte) in text.chunks_exact_mut(2).zip(chunk) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        out.write_all(&text[..2 * chunk.len()])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use esker::Lsn;

    use super::write_record;
    use crate::args::Format;

    #[test]
    fn every_format_writes_every_byte() {
        let all: Vec<u8> = (0..=255).collect();
        let hex: String = all.iter().map(|byte| format!("{byte:02x}")).collect();
        let cases: [(Format, &[u8], Vec<u8>); 10] = [
            (Format::Raw, &all, [&all[..], b"\n"].concat()),
            (Format::Raw, b"", b"\n".to_vec()),
            (Format::Nul, b"a\nb", b"a\nb\0".to_vec()),
            (Format::Len32, &all, [&256_u32.to_le_bytes(), &all[..]].concat()),
            (Format::Len32, b"", vec![0; 4]),
            (Format::Hex, &all, format!("{hex}\n").into_bytes()),
            (Format::Base64, b"hello", b"aGVsbG8=\n".to_vec()),
            (Format::Meta, b"123456789", b"64\t9\tcbf43926\n".to_vec()),
            (Format::Meta, b"", b"64\t0\t00000000\n".to_vec()),
            (
                Format::Jsonl,
                b"hello",
                br#"{"lsn":64,"len":5,"crc32":"3610a686","payload_base64":"aGVsbG8="}"#.iter().chain(b"\n").copied().collect(),
            ),
        ];
        for (format, payload, expected) in cases {
            let mut out = Vec::new();
            write_record(&mut out, format, Lsn::new(64), payload).expect("memory takes everything");
            assert_eq!(out, expected, "{format:?} of {payload:?}");
        }
    }
}
