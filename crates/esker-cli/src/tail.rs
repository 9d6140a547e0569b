//! `esker tail`: the last records, and what comes after them.
//!
//! The last records are found from the end, segment by segment; and in two passes, of which the first keeps LSNs alone,
//! so that neither the time nor the memory it takes depends on the length of the log.

use std::{collections::VecDeque, thread, time::Duration};

use esker::{Error, LogReader, Lsn};

use crate::{
    args::Tail,
    cat,
    ending::{Ending, Failure, Outcome},
    interrupt,
    output::{self, Output},
    talk::Talk,
};

/// How long to wait before looking again for what was appended.
const POLL: Duration = Duration::from_millis(50);

/// Runs the command.
pub(crate) fn run(args: &Tail, json: bool, talk: Talk) -> Outcome {
    let format = output::format(json, args.output)?;
    interrupt::end_at_once()?;
    let dir = args.dir.as_path();
    let mut reader = cat::open(dir)?;
    let failed = |error: Error| Failure::log(dir, &error);
    let mut out = Output::lock();
    let mut ending = Ending::Done;
    if args.n > 0 {
        let first = first_of_last(&reader, args.n as usize).map_err(failed)?;
        ending = cat::all_from(&reader, first, dir, talk, &mut out, format)?;
    }
    out.flush()?;
    if !args.follow {
        return Ok(ending);
    }
    loop {
        thread::sleep(POLL);
        let seen = reader.end_lsn();
        if reader.refresh().map_err(failed)? <= seen {
            continue;
        }
        let floor = reader.floor();
        if seen < floor {
            talk.note(&format_args!("{}: everything below lsn {floor} was truncated", dir.display()));
        }
        cat::all_from(&reader, seen, dir, talk, &mut out, format)?;
        out.flush()?;
    }
}

/// An LSN from which on there are `n` records, or all if there are not so many. Damage is told when the records are read,
/// so it is passed over here.
fn first_of_last(reader: &LogReader, n: usize) -> Result<Lsn, Error> {
    let (floor, end) = (reader.floor(), reader.end_lsn());
    let segment_bytes = reader.stat()?.segment_bytes;
    let mut back = u64::from(segment_bytes.get());
    loop {
        // Doubling the distance, all attempts together read at most twice what the last one does.
        let from = Lsn::new(end.get().saturating_sub(back)).segment_base(segment_bytes).max(floor);
        let mut last = VecDeque::new();
        let mut records = reader.iter_from(from);
        while let Some(record) = records.next_record() {
            let lsn = match record {
                Ok(record) => record.lsn(),
                Err(Error::Corrupt(_)) => continue,
                Err(error) => return Err(error),
            };
            if last.len() == n {
                last.pop_front();
            }
            last.push_back(lsn);
        }
        match last.front() {
            Some(&first) if last.len() == n => return Ok(first),
            _ if from == floor => return Ok(floor),
            _ => back = back.saturating_mul(2),
        }
    }
}
