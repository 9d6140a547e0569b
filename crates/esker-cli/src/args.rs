//! The grammar of the command line.
//!
//! Owns what can be asked for and the help text. Refuses to look at anything but the arguments and `ESKER_DIR`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum, value_parser};
use clap_complete::Shell;
use esker::Lsn;

use crate::{
    size,
    torture::{Life, Torture},
};

const EXIT_CODES: &str = "\
Exit codes:
  0    done; also when whoever reads standard output leaves early
  1    a negative finding: something is damaged, or was truncated while it was read
  2    wrong usage
  3    reading or writing failed, or the input is not made of records
  4    the log is locked by another process
  5    not an esker directory, or one of a newer format
  130  interrupted

Data goes to standard output, everything else to standard error. An LSN is the position of a record in the log. DIR may \
be left out, together with all that follows it, if ESKER_DIR is set.";

/// Append to, read, follow, check and truncate an esker log
#[derive(Debug, Parser)]
#[command(name = "esker", version, about, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Args {
    /// Write JSON: lines for records and messages, one document for everything else
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Say nothing but errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Append(Append),
    Cat(Cat),
    Tail(Tail),
    Dump(Dump),
    Stat(Stat),
    Pages(Pages),
    Blobs(Blobs),
    Map(Map),
    Verify(Verify),
    Salvage(Salvage),
    Repair(Repair),
    Truncate(Truncate),
    Export(Export),
    Import(Import),
    FsyncTest(FsyncTest),
    Completions(Completions),
    Man(Man),
    Torture(Torture),
    #[command(hide = true)]
    TortureLife(Life),
}

/// Append records, one per line, and make all of them durable
///
/// Every line of the files, or of standard input, becomes a record, without its line break; a last line that lacks one is
/// a record too. The log is created if there is none. On an error or an interrupt, everything that had been appended is
/// made durable first, and the end of what is stable is said.
#[derive(Debug, ClapArgs)]
pub(crate) struct Append {
    /// The log's directory
    #[arg(env = "ESKER_DIR")]
    pub(crate) dir: PathBuf,

    /// What to append; `-` is standard input, and so is no FILE at all
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Records end with a NUL byte, not with a line break
    #[arg(short = '0', long, conflicts_with = "len32")]
    pub(crate) null: bool,

    /// Each record follows its length, a little-endian number of 32 bits
    #[arg(long)]
    pub(crate) len32: bool,

    /// How many threads append; with more than one, records may change places
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..=1024))]
    pub(crate) threads: u16,

    /// Print LSN, length and CRC-32 of each record, separated by tabs, once it is durable
    ///
    /// With --json the summary then goes to standard error.
    #[arg(long)]
    pub(crate) acks: bool,

    /// The longest record accepted
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = max_record)]
    pub(crate) max_record: u32,

    /// The segment size if the log is created, a power of two; a log that exists keeps its own
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) segment_bytes: Option<u32>,

    /// The memory of one I/O buffer; records that do not fit one become files of their own
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) buffer_bytes: Option<u32>,
}

/// Write records in LSN order
#[derive(Debug, ClapArgs)]
pub(crate) struct Cat {
    /// The log's directory
    #[arg(env = "ESKER_DIR")]
    pub(crate) dir: PathBuf,

    /// Begin with the first record at or after this LSN
    #[arg(long, value_name = "LSN", value_parser = lsn)]
    pub(crate) from: Option<Lsn>,

    /// End before this LSN
    #[arg(long, value_name = "LSN", value_parser = lsn)]
    pub(crate) to: Option<Lsn>,

    /// Write at most N records
    #[arg(short, value_name = "N")]
    pub(crate) n: Option<u64>,

    /// How to write them
    #[arg(short, long = "output", value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
}

/// Write the whole log as JSON lines, for any version to import
///
/// The first line says what log it is, each further one is a record as `cat --json` writes it, and the last one says how many there
/// are.
#[derive(Debug, ClapArgs)]
pub(crate) struct Export {
    /// The log's directory
    #[arg(env = "ESKER_DIR")]
    pub(crate) dir: PathBuf,
}

/// Make a new log of what was exported
///
/// The records have the same bytes and the same order; their LSNs are those of the new log. Everything is durable when the command
/// ends.
#[derive(Debug, ClapArgs)]
pub(crate) struct Import {
    /// The new log's directory
    pub(crate) dir: PathBuf,

    /// What `export` has written; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub(crate) file: PathBuf,

    /// Another segment size than that of the log that was exported, a power of two
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) segment_bytes: Option<u32>,
}

/// Measure what the disk gives for each way of making bytes stable
///
/// Makes a directory of its own in DIR, and removes it.
#[derive(Debug, ClapArgs)]
pub(crate) struct FsyncTest {
    /// A directory on the disk in question; it need hold no log
    pub(crate) dir: PathBuf,

    /// How long to measure each way, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = value_parser!(u32).range(1..=600_000))]
    pub(crate) millis: u32,
}

/// Write what makes a shell complete the arguments of this command
#[derive(Debug, ClapArgs)]
pub(crate) struct Completions {
    /// For which shell
    pub(crate) shell: Shell,
}

/// Write a manual page, of this command or of one of its own
#[derive(Debug, ClapArgs)]
pub(crate) struct Man {
    /// Which one: `append`, say
    pub(crate) command: Option<String>,
}

/// Write the last records, and follow
#[derive(Debug, ClapArgs)]
pub(crate) struct Tail {
    /// The log's directory
    #[arg(env = "ESKER_DIR")]
    pub(crate) dir: PathBuf,

    /// How many records
    #[arg(short, value_name = "N", default_value_t = 10)]
    pub(crate) n: u32,

    /// Go on with what is appended, until interrupted
    #[arg(short, long)]
    pub(crate) follow: bool,

    /// How to write them
    #[arg(short, long = "output", value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
}

/// List every message of any kind
///
/// One line each, separated by tabs: LSN, segment, offset in the file, kind, payload length, stored checksum, state. The
/// state is `truncated` below the beginning of the log, `durable` where the log itself says so, and otherwise `written`:
/// a crash may still take that away.
#[derive(Debug, ClapArgs)]
pub(crate) struct Dump {
    /// The log's directory
    #[arg(env = "ESKER_DIR")]
    pub(crate) dir: PathBuf,
}

/// List the pages of a page store
///
/// Of each page its id, its version, how many records it consists of, how many bytes they take, the LSN of the newest, and the
/// file of its content if it has one. The store must not be open elsewhere.
#[derive(Debug, ClapArgs)]
pub(crate) struct Pages {
    /// The store's directory
    #[arg(env = "ESKER_DIR")]
    pub(crate) dir: PathBuf,
}

/// List the files that hold one value each
///
/// Of a page store: the name of each file, its length, and the page. Of a log: the name of each file, its length, and the LSN
/// of the record.
#[derive(Debug, ClapArgs)]
pub(crate) struct Blobs {
    /// The directory of the log or store
    #[arg(env = "ESKER_DIR")]
    pub(crate) dir: PathBuf,
}

/// Draw the segments of a page store: what is live of each
///
/// The store must not be open elsewhere.
#[derive(Debug, ClapArgs)]
pub(crate) struct Map {
    /// The store's directory
    #[arg(env = "ESKER_DIR")]
    pub(crate) dir: PathBuf,

    /// Write a picture to this file, as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

/// Show what the log, or the page store, consists of
#[derive(Debug, ClapArgs)]
pub(crate) struct Stat {
    /// The log's directory
    #[arg(env = "ESKER_DIR")]
    pub(crate) dir: PathBuf,
}

/// Read everything of a log or of a page store, and check it
#[derive(Debug, ClapArgs)]
pub(crate) struct Verify {
    /// The directory of the log or of the store
    #[arg(env = "ESKER_DIR")]
    pub(crate) dir: PathBuf,

    /// Look for what takes space and belongs to nobody, too; such a thing is a finding
    ///
    /// Of a log, the blob files that no record points at. Of a page store, what is counted as live is compared with what
    /// pages lead to: segments, files of a page, ids.
    #[arg(long)]
    pub(crate) leaks: bool,
}

/// Copy everything that can be read into a new log
///
/// Every record keeps its LSN. What cannot be read is listed, and the new log answers that it is lost. The damaged log
/// stays as it is; it must not be open for writing meanwhile.
#[derive(Debug, ClapArgs)]
pub(crate) struct Salvage {
    /// The damaged log's directory
    pub(crate) dir: PathBuf,

    /// The new log's directory, which must not hold anything
    pub(crate) out: PathBuf,
}

/// Say what can be repaired without a loss, and do so if told to
///
/// That is: a copy of the superblock, from the other copy or from the segments; the header of a segment, from its
/// messages; the end of a log that was being written when it stopped. Damaged records stay as they are: see `salvage`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Repair {
    /// The log's directory
    #[arg(env = "ESKER_DIR")]
    pub(crate) dir: PathBuf,

    /// Do it; otherwise it is only said what would be done
    #[arg(long)]
    pub(crate) yes: bool,

    /// Where to keep what is replaced; by default a directory beside the log's, with `.replaced` behind its name
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
}

/// Give up the oldest records and free their segments
#[derive(Debug, ClapArgs)]
pub(crate) struct Truncate {
    /// The log's directory
    #[arg(env = "ESKER_DIR")]
    pub(crate) dir: PathBuf,

    /// Give up every record below this LSN
    #[arg(long, value_name = "LSN", value_parser = lsn)]
    pub(crate) before: Lsn,
}

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The payload and a line break
    Raw,
    /// The payload and a NUL byte, as `append -0` reads it
    Nul,
    /// The payload after its length, as `append --len32` reads it
    Len32,
    /// The payload in hexadecimal, one line each
    Hex,
    /// The payload in base64, one line each
    Base64,
    /// One JSON object per line: lsn, len, crc32, payload_base64
    Jsonl,
    /// LSN, length and CRC-32 of the payload, as `append --acks` prints them
    Meta,
}

fn lsn(text: &str) -> Result<Lsn, String> {
    text.parse().map(Lsn::new).map_err(|error: std::num::ParseIntError| format!("an LSN is a decimal number: {error}"))
}

/// Positions within a batch of input are 32-bit numbers, and a batch may hold some more than one record.
fn max_record(text: &str) -> Result<u32, String> {
    const MAX: u32 = 2 << 30;
    size::parse(text).and_then(|bytes| if bytes <= MAX { Ok(bytes) } else { Err("more than 2 GiB".to_owned()) })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Args;

    #[test]
    fn the_grammar_is_sound() {
        Args::command().debug_assert();
    }
}
