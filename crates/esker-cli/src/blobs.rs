//! `esker blobs` of a log: the files that hold one record each.

use serde_json::json;

use crate::{
    args::Blobs,
    cat::{self, Next},
    ending::Outcome,
    interrupt,
    output::Output,
    talk::Talk,
};

/// Runs the command.
pub(crate) fn run(args: &Blobs, json: bool, talk: Talk) -> Outcome {
    interrupt::end_at_once()?;
    let reader = cat::open(&args.dir)?;
    let floor = reader.floor();
    let mut out = Output::lock();
    let ending = cat::each(reader.messages(), &args.dir, talk, &mut out, |out, message| {
        // What points from below the floor has been given up.
        if let Some(blob) = message.blob.filter(|_| message.lsn >= floor) {
            let (file, lsn) = (blob.id.to_string(), message.lsn);
            if json {
                out.line(&json!({ "file": file, "bytes": blob.len, "lsn": lsn.get() }))?;
            } else {
                out.line(&format_args!("{file}\t{}\t{lsn}", blob.len))?;
            }
        }
        Ok(Next::GoOn)
    })?;
    out.finish()?;
    Ok(ending)
}
