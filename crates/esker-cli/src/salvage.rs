//! `esker salvage`: copies what can be read of a damaged log into a new one.

use esker::{Config, LostRange};
use serde_json::{Value, json};

use crate::{
    args::Salvage,
    ending::{Ending, Failure, Outcome},
    interrupt,
    output::Output,
    talk::Talk,
};

/// Runs the command.
pub(crate) fn run(args: &Salvage, json: bool, talk: Talk) -> Outcome {
    // Until the end there is no log in the new directory, so an interrupt leaves none.
    interrupt::end_at_once()?;
    let bar = talk.progress(Some(0));
    let salvaged = Config::new(&args.dir).salvage_to(&args.out, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let report = salvaged.map_err(|error| Failure::log(&args.dir, &error))?;
    let mut out = Output::lock();
    if json {
        out.line(&json!({
            "schema": 1,
            "command": "salvage",
            "floor_lsn": report.floor.get(),
            "end_lsn": report.end.get(),
            "records": report.records,
            "blobs": report.blobs,
            "lost": report.lost.iter().map(lost_range).collect::<Vec<_>>(),
        }))?;
    } else {
        for lost in &report.lost {
            out.line(&format_args!("lost: {lost}"))?;
        }
        out.line(&format_args!(
            "{} records ({} of them blobs) salvaged, lsn {} to {}; {}",
            report.records,
            report.blobs,
            report.floor,
            report.end,
            match report.lost.len() {
                0 => "nothing is lost".to_owned(),
                1 => "1 part is lost".to_owned(),
                parts => format!("{parts} parts are lost"),
            },
        ))?;
    }
    out.finish()?;
    Ok(if report.lost.is_empty() { Ending::Done } else { Ending::Finding })
}

/// A part of the log that is lost, as a JSON object.
pub(crate) fn lost_range(lost: &LostRange) -> Value {
    json!({
        "from_lsn": lost.from.get(),
        "to_lsn": lost.to.get(),
        "file": lost.why.file,
        "offset": lost.why.offset,
        "kind": lost.why.kind.to_string(),
    })
}
