//! Replays the corpora without libFuzzer.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// One at a time, because some targets look at how much memory there is in use.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs every file of a corpus, and so many prefixes of it, so that each is a small campaign of its own.
#[track_caller]
fn replay(target: &str, prefixes: usize, run: fn(&[u8])) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files = 0;
    for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        let data = fs::read(&path).unwrap();
        run(&data);
        (0..data.len()).step_by(1 + data.len() / prefixes).for_each(|end| run(&data[..end]));
        files += 1;
    }
    assert!(files > 0, "{} is empty", folder.display());
}

#[test]
fn corpus_of_format_scan_passes() {
    replay("format_scan", 64, esker_fuzz::format_scan::run);
}

#[test]
fn corpus_of_header_ops_passes() {
    replay("header_ops", 64, esker_fuzz::header_ops::run);
}

#[test]
fn corpus_of_log_ops_passes() {
    replay("log_ops", 4, esker_fuzz::log_ops::run);
}

#[test]
fn corpus_of_recover_image_passes() {
    replay("recover_image", 64, esker_fuzz::recover_image::run);
}
