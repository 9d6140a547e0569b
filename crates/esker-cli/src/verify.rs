//! `esker verify`: reads everything, and tells the place and kind of each damage.

use esker::{Config, Corruption, Error, Lsn, VerifyReport};
use serde_json::{Value, json};

use crate::{
    args::Verify,
    ending::{Ending, Failure, Outcome},
    interrupt,
    output::Output,
    salvage::lost_range,
    size::human,
    talk::Talk,
};

/// Runs the command.
pub(crate) fn run(args: &Verify, json: bool, talk: Talk) -> Outcome {
    interrupt::end_at_once()?;
    let bar = talk.progress(Some(0));
    let config = Config::new(&args.dir);
    let opened = config.open_read_only().or_else(|error| match error {
        // Without its superblock a log can be looked through all the same; that it is lost is among the findings.
        Error::Corrupt(damage) => config.open_for_salvage().map_err(|_| damage.into()),
        error => Err(error),
    });
    let verified = opened.and_then(|reader| {
        let report = reader.verify(&mut |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        })?;
        Ok(Verified { report, notes: reader.report().notes.iter().map(ToString::to_string).collect() })
    });
    bar.finish_and_clear();
    let (verified, damages) = match verified {
        Ok(verified) => {
            let damages = verified.report.damages.clone();
            (Some(verified), damages)
        }
        // Damage that keeps a log from being opened is the finding itself.
        Err(Error::Corrupt(damage)) => (None, vec![damage]),
        Err(error) => return Err(Failure::log(&args.dir, &error)),
    };

    let mut out = Output::lock();
    if json {
        out.line(&document(verified.as_ref(), &damages))?;
    } else {
        for damage in &damages {
            out.line(&format_args!("damaged: {damage}"))?;
        }
        out.flush()?;
        if let Some(Verified { report, notes }) = &verified {
            for note in notes {
                talk.note(&format_args!("note: {note}"));
            }
            for (from, to) in &report.given_up {
                talk.note(&format_args!("note: lsn {from} to {to} had been lost before the log was salvaged"));
            }
            for blob in &report.orphan_blobs {
                if args.leaks {
                    out.line(&format_args!("leaked: {blob}: no record points at it"))?;
                } else {
                    talk.note(&format_args!("note: no record points at {blob}"));
                }
            }
        }
        out.line(&summary(verified.as_ref(), damages.len()))?;
    }
    out.finish()?;
    let is_leaking = args.leaks && verified.is_some_and(|verified| !verified.report.orphan_blobs.is_empty());
    Ok(if damages.is_empty() && !is_leaking { Ending::Done } else { Ending::Finding })
}

/// What was found in a log that can be opened.
struct Verified {
    report: VerifyReport,
    notes: Vec<String>,
}

fn summary(verified: Option<&Verified>, damages: usize) -> String {
    let verdict = match damages {
        0 => "clean".to_owned(),
        1 => "1 damage".to_owned(),
        _ => format!("{damages} damages"),
    };
    let Some(Verified { report, .. }) = verified else {
        return format!("{verdict}; the log cannot be read further");
    };
    format!(
        "{verdict}: {} records ({} of them blobs), {} messages, {} segments, {} bytes ({}) read",
        report.records,
        report.blobs,
        report.messages,
        report.segments,
        report.bytes,
        human(report.bytes),
    )
}

fn document(verified: Option<&Verified>, damages: &[Corruption]) -> Value {
    let damages: Vec<Value> = damages
        .iter()
        .map(|damage| {
            json!({
                "file": damage.file,
                "offset": damage.offset,
                "lsn": damage.lsn.map(|lsn| lsn.get()),
                "kind": damage.kind.to_string(),
            })
        })
        .collect();
    let report = verified.map(|verified| &verified.report);
    json!({
        "schema": 1,
        "command": "verify",
        "clean": damages.is_empty(),
        "complete": report.is_some(),
        "records": report.map(|report| report.records),
        "blobs": report.map(|report| report.blobs),
        "messages": report.map(|report| report.messages),
        "segments": report.map(|report| report.segments),
        "bytes_read": report.map(|report| report.bytes),
        "damages": damages,
        "lost": report.map(|report| report.lost.iter().map(lost_range).collect::<Vec<_>>()),
        "given_up": report.map(|report| report.given_up.iter().map(given_up).collect::<Vec<_>>()),
        "orphan_blobs": report.map(|report| &report.orphan_blobs),
        "notes": verified.map(|verified| &verified.notes),
    })
}

fn given_up((from, to): &(Lsn, Lsn)) -> Value {
    json!({ "from_lsn": from.get(), "to_lsn": to.get() })
}
