//! Prints what a segment holds, message by message, beyond damage too.
//!
//! `dump_segment LOG_FILE [SLOT]` reads a segment of an esker log: its file `log`, and the number of the slot, 0 if none is
//! given. Without arguments it makes a segment in memory, damages it, and prints that.

use std::env;
use std::error::Error;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::process::ExitCode;

use esker_format::{
    Damage, Epoch, LogId, Lsn, Message, MessageHeader, MessageKind, SEGMENT_HEADER_BYTES, ScanContext, Scanner,
    SegmentBytes, SegmentHeader, SegmentId,
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "dump_segment: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let segment = match arguments.next() {
        Some(file) => read(&file, SegmentId::new(arguments.next().map_or(Ok(0), |slot| slot.parse())?))?,
        None => sample(),
    };
    match dump(&segment, &mut io::stdout().lock()) {
        // Whoever reads this has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// The bytes of one segment of a log's file. The header of slot 0 tells how large segments are.
fn read(file: &str, slot: SegmentId) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut file = File::open(file)?;
    let mut header = [0; SEGMENT_HEADER_BYTES];
    file.read_exact(&mut header)?;
    let segment_bytes = SegmentHeader::decode(&header)?.segment_bytes;
    file.seek(SeekFrom::Start(slot.offset(segment_bytes).get()))?;
    let mut segment = Vec::new();
    file.take(segment_bytes.get().into()).read_to_end(&mut segment)?;
    Ok(segment)
}

/// A segment with a damaged message in its midst.
fn sample() -> Vec<u8> {
    let log_id = LogId::from_bytes(*b"dump_segment log");
    let segment_bytes = SegmentBytes::MIN;
    let (base, epoch) = (Lsn::ZERO, Epoch::new(1));
    let header = SegmentHeader { log_id, base, floor: base, mark: base, epoch, segment_bytes };
    let mut segment = header.encode().to_vec();
    for payload in ["once upon a midnight dreary", "while I pondered", "weak and weary"] {
        let begin = segment.len();
        let (len, lsn) = (payload.len() as u32, base + begin as u64);
        let header = MessageHeader { kind: MessageKind::Inline, len, lsn, mark: Lsn::FIRST, epoch };
        segment.resize(begin + header.message_bytes(), 0);
        let end = segment.len();
        segment[end - payload.len()..].copy_from_slice(payload.as_bytes());
        header.seal(&mut segment[begin..], log_id.checksum_seed());
    }
    segment[SEGMENT_HEADER_BYTES + 80] ^= 1;
    segment.resize(segment_bytes.get() as usize, 0);
    segment
}

fn dump(segment: &[u8], out: &mut impl Write) -> io::Result<()> {
    let header = match SegmentHeader::decode(segment) {
        Ok(header) => header,
        Err(error) => return writeln!(out, "no segment: {error}"),
    };
    let SegmentHeader { log_id, base, floor, mark, epoch, segment_bytes } = header;
    writeln!(out, "segment of log {log_id}: base {base}, floor {floor}, mark {mark}, epoch {epoch}")?;
    writeln!(
        out,
        "{:>12} {:>10} {:8} {:>10} {:8} {:>12} {:>5} state",
        "lsn", "at", "kind", "len", "crc32", "mark", "epoch"
    )?;
    let context = ScanContext::new(log_id.checksum_seed(), segment_bytes).with_epoch(epoch, base);
    let mut scanner = Scanner::new(segment, base, context);
    loop {
        match scanner.next() {
            Some(Ok(message)) => print_message(out, base, &message)?,
            Some(Err(damage)) => print_damage(out, base, &damage)?,
            None if scanner.resync().is_some() => (),
            None => return Ok(()),
        }
    }
}

fn print_message(out: &mut impl Write, base: Lsn, message: &Message<'_>) -> io::Result<()> {
    let Message { header: MessageHeader { kind, len, lsn, mark, epoch }, crc32, .. } = *message;
    writeln!(out, "{lsn:>12} {:>10} {kind:8} {len:>10} {crc32:08x} {mark:>12} {epoch:>5} valid", lsn - base)
}

/// What a damaged message claims is shown with it, because it may still tell what has been lost.
fn print_damage(out: &mut impl Write, base: Lsn, damage: &Damage) -> io::Result<()> {
    let Damage { at, kind, claimed } = *damage;
    let offset = at - base;
    match claimed.filter(|claimed| !claimed.is_blank()) {
        Some(raw) => {
            let name = MessageKind::from_u8(raw.kind).map_or("?", MessageKind::name);
            let (len, crc32, epoch) = (raw.len, raw.crc32, raw.epoch);
            writeln!(out, "{at:>12} {offset:>10} {name:8} {len:>10} {crc32:08x} {:>12} {epoch:>5} {kind}", "?")
        }
        None => writeln!(out, "{at:>12} {offset:>10} {:8} {:>10} {:8} {:>12} {:>5} {kind}", "", "", "", "", ""),
    }
}
