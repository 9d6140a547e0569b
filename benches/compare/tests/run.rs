//! The program as it is called: it measures, and leaves a report that says so.

use std::{fs, process::Command};

#[test]
fn run_leaves_a_report_with_figures_and_targets() {
    let out = tempfile::tempdir().expect("a directory");
    let status = Command::new(env!("CARGO_BIN_EXE_esker-compare"))
        .args(["--quick", "--rounds", "2", "--only", "append,bytes", "--out"])
        .arg(out.path())
        .status()
        .expect("the program");
    assert!(status.success());
    let text = fs::read_to_string(out.path().join("report.md")).expect("a report");
    for expected in ["| W1 |", "| B4 |", "limit-memory", "### bytes written per byte of payload"] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    let json = fs::read(out.path().join("report.json")).expect("a report for programs");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let cells = json["cells"].as_array().expect("cells");
    assert!(!cells.is_empty());
    for cell in cells {
        let rounds = cell["rounds"].as_array().expect("rounds");
        assert!(rounds.len() == 2 && rounds.iter().all(|round| round["figures"].is_object()), "{cell}");
    }
    let left: Vec<_> = fs::read_dir(out.path()).expect("a directory").map(|entry| entry.expect("an entry")).collect();
    assert!(left.iter().all(|entry| entry.file_type().expect("a type").is_file()), "data was left behind: {left:?}");
}

#[test]
fn unknown_group_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_esker-compare")).args(["--only", "nothing"]).output();
    let output = output.expect("the program");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no group `nothing`"));
}
