//! `esker repair`: says what can be repaired without a loss, and does so if told to.

use std::path::PathBuf;

use esker::{Config, Repair as Report};
use serde_json::json;

use crate::{
    args::Repair,
    ending::{Ending, Failure, Outcome},
    interrupt,
    output::Output,
    salvage::lost_range,
    talk::Talk,
};

/// Runs the command.
pub(crate) fn run(args: &Repair, json: bool, talk: Talk) -> Outcome {
    // A repair that is interrupted can be begun again.
    interrupt::end_at_once()?;
    let keep = args.keep.clone().unwrap_or_else(|| beside(&args.dir));
    let config = Config::new(&args.dir);
    let bar = talk.progress(Some(0));
    let mut progress = |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let plan = config.plan_repair(&mut progress);
    let repaired = match (plan, args.yes) {
        // Without anything to do there is nothing to keep, and no directory is made.
        (Ok(plan), true) if !plan.steps.is_empty() => config.repair(&keep, &mut progress),
        (plan, _) => plan,
    };
    bar.finish_and_clear();
    let report = repaired.map_err(|error| Failure::log(&args.dir, &error))?;
    let is_kept = args.yes && !report.steps.is_empty();

    let mut out = Output::lock();
    if json {
        out.line(&json!({
            "schema": 1,
            "command": "repair",
            "done": args.yes,
            "steps": report.steps.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "lost": report.lost.iter().map(lost_range).collect::<Vec<_>>(),
            "kept": is_kept.then(|| keep.display().to_string()),
        }))?;
    } else {
        for step in &report.steps {
            out.line(&format_args!("{}: {step}", if args.yes { "done" } else { "to do" }))?;
        }
        for lost in &report.lost {
            out.line(&format_args!("beyond repair: {lost}"))?;
        }
        out.line(&summary(&report, args.yes))?;
        out.flush()?;
        if is_kept {
            talk.note(&format_args!("what was replaced is kept in {}", keep.display()));
        }
        if !report.lost.is_empty() {
            talk.note(&"`esker salvage` copies what can be read into a new log");
        }
    }
    out.finish()?;
    let is_whole = report.lost.is_empty() && (args.yes || report.steps.is_empty());
    Ok(if is_whole { Ending::Done } else { Ending::Finding })
}

fn summary(report: &Report, is_done: bool) -> String {
    let steps = match (report.steps.len(), is_done) {
        (0, _) => "nothing to repair".to_owned(),
        (1, true) => "1 repair done".to_owned(),
        (steps, true) => format!("{steps} repairs done"),
        (1, false) => "1 repair to do: --yes does it".to_owned(),
        (steps, false) => format!("{steps} repairs to do: --yes does them"),
    };
    match report.lost.len() {
        0 => steps,
        1 => format!("{steps}; 1 part of the log is beyond repair"),
        parts => format!("{steps}; {parts} parts of the log are beyond repair"),
    }
}

/// A directory beside the log's.
fn beside(dir: &std::path::Path) -> PathBuf {
    // The trailing separator that a shell completes is no part of the name.
    let mut name = dir.components().collect::<PathBuf>().into_os_string();
    name.push(".replaced");
    name.into()
}
