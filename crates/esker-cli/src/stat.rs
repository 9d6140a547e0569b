//! `esker stat`: what the log consists of.

use std::path::Path;

use esker::RecoveryReport;
use serde_json::json;

use crate::{
    args::Stat,
    cat,
    ending::{Ending, Failure, Outcome},
    interrupt,
    output::Output,
    size::human,
};

/// Runs the command.
pub(crate) fn run(args: &Stat, json: bool) -> Outcome {
    interrupt::end_at_once()?;
    let reader = cat::open(&args.dir)?;
    let stat = reader.stat().map_err(|error| Failure::log(&args.dir, &error))?;
    let report = reader.report();
    // Behind the end of a log that was closed in good order there may be leftovers of a segment's earlier life.
    let torn = report.torn.as_ref();
    let mut out = Output::lock();
    if json {
        out.line(&json!({
            "schema": 1,
            "command": "stat",
            "log_id": stat.log_id.to_string(),
            "segment_bytes": stat.segment_bytes.get(),
            "epoch": stat.epoch.get(),
            "floor_lsn": stat.floor.get(),
            "end_lsn": stat.end.get(),
            "mark_lsn": stat.mark.get(),
            "closed_cleanly": stat.clean,
            "segments_live": stat.segments_live,
            "segments_free": stat.segments_free,
            "file_bytes": stat.file_bytes,
            "blobs": stat.blobs,
            "cut_at_lsn": torn.map(|torn| torn.at.get()),
            "damage": report.damage.as_ref().map(ToString::to_string),
        }))?;
        out.finish()?;
        return ending(&args.dir, report);
    }
    let size = |bytes: u64| format!("{bytes} bytes ({})", human(bytes));
    let rows = [
        ("log id", stat.log_id.to_string()),
        ("segment size", size(stat.segment_bytes.get().into())),
        ("epoch", stat.epoch.to_string()),
        ("begins at lsn", stat.floor.to_string()),
        ("ends at lsn", stat.end.to_string()),
        ("durable at least below lsn", stat.mark.to_string()),
        ("closed cleanly", if stat.clean { "yes" } else { "no" }.to_owned()),
        ("segments in use", stat.segments_live.to_string()),
        ("segments free", stat.segments_free.to_string()),
        ("log file", size(stat.file_bytes)),
        ("blob files", stat.blobs.to_string()),
    ];
    for (name, value) in rows {
        out.line(&format_args!("{name:<28}{value}"))?;
    }
    if let Some(torn) = torn {
        out.line(&format_args!("{:<28}{}: {}", "cut at lsn", torn.at, torn.why))?;
    }
    out.finish()?;
    ending(&args.dir, report)
}

/// Figures of a damaged log are not to be taken for those of a sound one.
fn ending(dir: &Path, report: &RecoveryReport) -> Outcome {
    match &report.damage {
        None => Ok(Ending::Done),
        Some(damage) => Err(Failure::log(dir, &damage.clone().into())),
    }
}
