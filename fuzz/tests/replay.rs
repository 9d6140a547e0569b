//! Replays the corpora without libFuzzer.

use std::fs;
use std::path::Path;

/// Runs every file of a corpus, and every prefix of it, so that each is a small campaign of its own.
#[track_caller]
fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files = 0;
    for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        let data = fs::read(&path).unwrap();
        run(&data);
        (0..data.len()).step_by(1 + data.len() / 64).for_each(|end| run(&data[..end]));
        files += 1;
    }
    assert!(files > 0, "{} is empty", folder.display());
}

#[test]
fn corpus_of_format_scan_passes() {
    replay("format_scan", esker_fuzz::format_scan::run);
}

#[test]
fn corpus_of_header_ops_passes() {
    replay("header_ops", esker_fuzz::header_ops::run);
}

#[test]
fn corpus_of_recover_image_passes() {
    replay("recover_image", esker_fuzz::recover_image::run);
}
