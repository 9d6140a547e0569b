//! `esker pages`, `esker stat`, `esker blobs` and `esker verify` of a page store: what it consists of, and whether all is well.

use std::{path::Path, sync::Arc};

use esker_pages::{Error, Look, PageInfo, Verification, storage::FileStorage};
use serde_json::json;

use crate::{
    args::{Blobs, Pages, Stat, Verify},
    ending::{Ending, Failure, Outcome},
    interrupt,
    output::Output,
    size::human,
    talk::Talk,
};

/// Whether the directory has the data file of a page store.
pub(crate) fn is_store(dir: &Path) -> bool {
    dir.join("streams").is_file()
}

/// Looks at a store.
pub(crate) fn open(dir: &Path) -> Result<Look, Failure> {
    if !is_store(dir) {
        let message = format!("{}: there is no page store", dir.display());
        return Err(Failure::Told { ending: Ending::NotEsker, message });
    }
    let storage = FileStorage::open(dir).map_err(|error| Failure::io(dir.display(), &error))?;
    Look::open(Arc::new(storage)).map_err(|error| told(dir, &error))
}

/// What went wrong with a store.
fn told(dir: &Path, error: &Error) -> Failure {
    match error {
        Error::Log(esker::Error::Locked) => {
            let message = format!("{}: another process has the store open (close it to look at it)", dir.display());
            Failure::Told { ending: Ending::Locked, message }
        }
        Error::Log(error) => Failure::log(dir, error),
        Error::Damaged { .. } => {
            Failure::Told { ending: Ending::Finding, message: format!("{}: {error}", dir.display()) }
        }
        other => Failure::Told { ending: Ending::Io, message: format!("{}: {other}", dir.display()) },
    }
}

/// Runs `esker pages`.
pub(crate) fn list(args: &Pages, json: bool) -> Outcome {
    interrupt::end_at_once()?;
    let look = open(&args.dir)?;
    let mut out = Output::lock();
    if !json {
        out.line(&"page\tversion\trecords\tbytes\tlsn\tfile")?;
    }
    look.pages(|info| line(&mut out, &info, json))?;
    out.finish()?;
    Ok(Ending::Done)
}

fn line(out: &mut Output, info: &PageInfo, json: bool) -> Result<(), Failure> {
    let PageInfo { page, version, records, bytes, lsn, file, .. } = *info;
    let name = file.map(|file| file.name());
    if json {
        return out.line(&json!({
            "page": page.get(),
            "version": version.get(),
            "records": records,
            "bytes": bytes,
            "lsn": lsn.get(),
            "file": name,
            "file_bytes": file.map(|file| file.bytes),
        }));
    }
    let name = name.unwrap_or_else(|| "-".to_owned());
    out.line(&format_args!("{page}\t{version}\t{records}\t{bytes}\t{lsn}\t{name}"))
}

/// Runs `esker blobs` where there is a page store.
pub(crate) fn files(args: &Blobs, json: bool) -> Outcome {
    interrupt::end_at_once()?;
    let look = open(&args.dir)?;
    let mut out = Output::lock();
    look.pages(|PageInfo { page, file, .. }| match file {
        None => Ok(()),
        Some(file) if json => out.line(&json!({ "file": file.name(), "bytes": file.bytes, "page": page.get() })),
        Some(file) => out.line(&format_args!("{}\t{}\t{page}", file.name(), file.bytes)),
    })?;
    out.finish()?;
    Ok(Ending::Done)
}

/// Runs `esker verify` where there is a page store.
pub(crate) fn verify(args: &Verify, json: bool, talk: Talk) -> Outcome {
    interrupt::end_at_once()?;
    let bar = talk.progress(Some(0));
    let verified = open(&args.dir).and_then(|look| {
        let mut progress = |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        };
        look.verify(&mut progress).map_err(|error| told(&args.dir, &error))
    });
    bar.finish_and_clear();
    let Verification { pages, records, segments, bytes, damages, mut leaks, .. } = verified?;
    if !args.leaks {
        leaks.clear();
    }
    let is_clean = damages.is_empty() && leaks.is_empty();
    let mut out = Output::lock();
    if json {
        out.line(&json!({
            "schema": 1,
            "command": "verify",
            "kind": "pages",
            "clean": is_clean,
            "pages": pages,
            "records": records,
            "segments": segments,
            "bytes_read": bytes,
            "damages": damages.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "leaks": args.leaks.then(|| leaks.iter().map(ToString::to_string).collect::<Vec<_>>()),
        }))?;
    } else {
        for damage in &damages {
            out.line(&format_args!("damaged: {damage}"))?;
        }
        for leak in &leaks {
            out.line(&format_args!("leaked: {leak}"))?;
        }
        let count = |count: usize, what: &str| match count {
            0 => None,
            1 => Some(format!("1 {what}")),
            _ => Some(format!("{count} {what}s")),
        };
        let verdict: Vec<String> =
            [count(damages.len(), "damage"), count(leaks.len(), "leak")].into_iter().flatten().collect();
        let verdict = if verdict.is_empty() { "clean".to_owned() } else { verdict.join(", ") };
        out.line(&format_args!(
            "{verdict}: {pages} pages ({records} records), {segments} segments, {bytes} bytes ({}) read",
            human(bytes)
        ))?;
    }
    out.finish()?;
    Ok(if is_clean { Ending::Done } else { Ending::Finding })
}

/// Runs `esker stat` where there is a page store.
pub(crate) fn stat(args: &Stat, json: bool) -> Outcome {
    interrupt::end_at_once()?;
    let look = open(&args.dir)?;
    let (stats, roots) = (look.stats(), look.roots().map_err(|error| told(&args.dir, &error))?);
    let slots = look.slots();
    let dead_bytes = stats.dead_bytes;
    let mut out = Output::lock();
    if json {
        out.line(&json!({
            "schema": 1,
            "command": "stat",
            "kind": "pages",
            "segment_bytes": look.segment_bytes(),
            "pages": stats.pages,
            "live_bytes": stats.live_bytes,
            "dead_bytes": dead_bytes,
            "free_bytes": stats.free_bytes,
            "cleaning_debt_bytes": stats.debt_bytes,
            "user_bytes_ever": stats.user_bytes_ever,
            "moved_bytes_ever": stats.moved_bytes_ever,
            "write_amplification_ever": stats.write_amplification_ever(),
            "file_bytes": stats.file_bytes,
            "ledger_bytes": stats.ledger_bytes,
            "space_amplification": stats.space_amplification(),
            "segments": slots.len(),
            "segments_free": stats.segments_free,
            "segments_pinned": stats.segments_pinned,
            "large_files": stats.large_files,
            "large_bytes": stats.large_bytes,
            "roots": roots.iter().map(|(name, page)| (name.clone(), page.get())).collect::<std::collections::BTreeMap<_, _>>(),
        }))?;
        out.finish()?;
        return Ok(Ending::Done);
    }
    let size = |bytes: u64| format!("{bytes} bytes ({})", human(bytes));
    let rows = [
        ("segment size", size(look.segment_bytes().into())),
        ("pages", stats.pages.to_string()),
        ("live", size(stats.live_bytes)),
        ("dead", size(dead_bytes)),
        ("free", size(stats.free_bytes)),
        ("data file", size(stats.file_bytes)),
        ("data file / live", format!("{:.2}", stats.space_amplification())),
        ("cleaning debt", size(stats.debt_bytes)),
        ("written by users, ever", size(stats.user_bytes_ever)),
        ("moved by cleaning, ever", size(stats.moved_bytes_ever)),
        ("written / by users", format!("{:.2}", stats.write_amplification_ever())),
        ("ledger", size(stats.ledger_bytes)),
        ("segments", slots.len().to_string()),
        ("segments free", stats.segments_free.to_string()),
        ("files of one page", stats.large_files.to_string()),
        ("what they take", size(stats.large_bytes)),
    ];
    for (name, value) in rows {
        out.line(&format_args!("{name:<28}{value}"))?;
    }
    for (name, page) in roots {
        out.line(&format_args!("{:<28}page {page}", format!("root {name:?}")))?;
    }
    out.finish()?;
    Ok(Ending::Done)
}
