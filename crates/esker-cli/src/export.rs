//! `esker export` and `esker import`: a log as JSON lines, which no version of the format on disk matters to.
//!
//! The first line says what log it was, each further one is a record as `cat --json` writes it, and the last one says how many
//! there were, so that a file that was cut is not taken for a whole one.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use esker::{Config, Error};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::{
    args::{Export, Format, Import},
    cat::{self, Next},
    ending::{Ending, Failure, Outcome},
    interrupt,
    output::Output,
    talk::Talk,
};

/// The version of these lines.
const SCHEMA: u64 = 1;

/// Runs `esker export`.
pub(crate) fn export(args: &Export, talk: Talk) -> Outcome {
    interrupt::end_at_once()?;
    let dir = args.dir.as_path();
    let reader = cat::open(dir)?;
    let stat = reader.stat().map_err(|error| Failure::log(dir, &error))?;
    let id: String = stat.log_id.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut out = Output::lock();
    out.line(&json!({
        "esker": "log", "schema": SCHEMA, "log_id": id, "segment_bytes": stat.segment_bytes.get(),
        "floor": stat.floor.get(), "end": stat.end.get(),
    }))?;
    let mut records = 0_u64;
    let ending = cat::each(reader.iter_from(reader.floor()), dir, talk, &mut out, |out, record| {
        records += 1;
        out.record(Format::Jsonl, record)?;
        Ok(Next::GoOn)
    })?;
    out.line(&json!({ "records": records, "complete": ending == Ending::Done }))?;
    out.finish()?;
    Ok(ending)
}

/// Runs `esker import`.
pub(crate) fn import(args: &Import, json: bool, talk: Talk) -> Outcome {
    interrupt::end_at_once()?;
    let mut lines = Lines::open(&args.file, talk)?;
    let head = lines.next()?.ok_or_else(|| lines.wrong("there is nothing in it"))?;
    if head["esker"] != "log" {
        return Err(lines.wrong("this is not the first line of an exported log"));
    }
    if head["schema"] != SCHEMA {
        return Err(lines.wrong(&format!("its schema is {}, and this version reads schema {SCHEMA}", head["schema"])));
    }
    let dir = args.dir.as_path();
    let from_log = |error: Error| Failure::log(dir, &error);
    let segment_bytes = match args.segment_bytes {
        Some(bytes) => bytes,
        None => head["segment_bytes"]
            .as_u64()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| lines.wrong("it does not say how long segments were"))?,
    };
    let log = Config::new(dir).segment_bytes(segment_bytes).open().map_err(from_log)?;
    if log.end_lsn() > log.floor() {
        let message =
            format!("{}: there are records already; a log is imported into a directory of its own", dir.display());
        return Err(Failure::usage(message));
    }
    let (mut records, mut bytes) = (0_u64, 0_u64);
    let imported = loop {
        let line = match lines.next() {
            Ok(Some(line)) => line,
            Ok(None) => break Err(lines.wrong("it ends before its last line: it was cut")),
            Err(failure) => break Err(failure),
        };
        if let Some(counted) = line["records"].as_u64() {
            break if counted == records {
                Ok(line["complete"] == true)
            } else {
                Err(lines.wrong(&format!("it is said to have {counted} records")))
            };
        }
        let payload = match payload(&line) {
            Ok(payload) => payload,
            Err(what) => break Err(lines.wrong(what)),
        };
        if let Err(error) = log.append(&payload) {
            break Err(from_log(error));
        }
        records += 1;
        bytes += payload.len() as u64;
    };
    lines.bar.finish_and_clear();
    log.close().map_err(from_log)?;
    let complete = imported.map_err(|failure| failure.and(&format!("{records} records were imported before")))?;
    if !complete {
        talk.note(&format_args!("{}: what was damaged when it was exported is not there", lines.name));
    }
    if json {
        let mut out = Output::lock();
        out.line(&json!({ "schema": 1, "records": records, "bytes": bytes, "complete": complete }))?;
        out.finish()?;
    } else {
        talk.note(&format_args!("{}: {records} records, {bytes} bytes", dir.display()));
    }
    Ok(if complete { Ending::Done } else { Ending::Finding })
}

/// The lines of the input, each of them JSON.
struct Lines {
    name: String,
    input: Box<dyn BufRead>,
    line: String,
    number: u64,
    bar: ProgressBar,
}

impl Lines {
    fn open(file: &Path, talk: Talk) -> Result<Self, Failure> {
        let of = |name, input, len| Self { name, input, line: String::new(), number: 0, bar: talk.progress(len) };
        if file.as_os_str() == "-" {
            return Ok(of("standard input".to_owned(), Box::new(BufReader::new(io::stdin())), None));
        }
        let name = file.display().to_string();
        let open = File::open(file).map_err(|error| Failure::io(&name, &error))?;
        let len = open.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
        Ok(of(name, Box::new(BufReader::with_capacity(1 << 20, open)), len))
    }

    fn next(&mut self) -> Result<Option<Value>, Failure> {
        self.line.clear();
        let read = self.input.read_line(&mut self.line).map_err(|error| Failure::io(&self.name, &error))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.bar.inc(read as u64);
        serde_json::from_str(&self.line).map(Some).map_err(|error| self.wrong(&error.to_string()))
    }

    fn wrong(&self, what: &str) -> Failure {
        let message = format!("{}: line {}: {what}", self.name, self.number);
        Failure::Told { ending: Ending::Io, message }
    }
}

/// The payload of a record, which is checked against what the line says of it.
fn payload(line: &Value) -> Result<Vec<u8>, &'static str> {
    let text = line["payload_base64"].as_str().ok_or("this is no record")?;
    let payload = STANDARD.decode(text).map_err(|_| "the payload is not base64")?;
    if line["len"].as_u64() != Some(payload.len() as u64) {
        return Err("the payload is not as long as is said");
    }
    if line["crc32"].as_str() != Some(&format!("{:08x}", crc32fast::hash(&payload))) {
        return Err("the payload does not have its checksum");
    }
    Ok(payload)
}
