//! `esker truncate`: gives up the oldest records.

use esker::Config;
use serde_json::json;

use crate::{
    args::Truncate,
    ending::{Ending, Failure, Outcome},
    interrupt,
    output::Output,
    talk::Talk,
};

/// Runs the command.
pub(crate) fn run(args: &Truncate, json: bool, talk: Talk) -> Outcome {
    // The log is crash-safe, so an interrupt needs no more care than a crash.
    interrupt::end_at_once()?;
    let truncated = Config::new(&args.dir).create(false).open().and_then(|log| {
        let truncation = log.truncate_before(args.before)?;
        log.close()?;
        Ok(truncation)
    });
    let truncation = truncated.map_err(|error| Failure::log(&args.dir, &error))?;
    if !json {
        talk.note(&format_args!(
            "the log begins at lsn {}; {} segments and {} blob files were freed",
            truncation.floor, truncation.segments_freed, truncation.blobs_removed
        ));
        return Ok(Ending::Done);
    }
    let mut out = Output::lock();
    out.line(&json!({
        "schema": 1,
        "command": "truncate",
        "floor_lsn": truncation.floor.get(),
        "segments_freed": truncation.segments_freed,
        "blobs_removed": truncation.blobs_removed,
    }))?;
    out.finish()?;
    Ok(Ending::Done)
}
