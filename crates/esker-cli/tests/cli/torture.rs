//! Processes that are killed: the command that does it, and that it would notice.

use std::fs;

use crate::support::Scratch;

#[test]
fn what_was_acknowledged_survives_ten_rounds_of_kills() {
    let scratch = Scratch::new();
    let ran = scratch.run("--json torture logs --rounds 10 --writers 3").expect(0);
    let document = ran.json();
    assert_eq!(document["schema"], 1);
    assert_eq!(document["rounds"], 10);
    assert_eq!(document["violation"], serde_json::Value::Null);
    let count = |name: &str| document[name].as_u64().unwrap_or_else(|| panic!("no {name} in {document}"));
    let ends = ["kills_working", "kills_opening", "kills_closing", "closes"].map(count);
    assert_eq!(ends.iter().sum::<u64>(), 10, "{document}");
    assert!(count("openings") >= 5, "every other round opens the log: {document}");
}

#[test]
fn the_summary_names_the_seed() {
    let scratch = Scratch::new();
    let ran = scratch.run("torture logs --rounds 1 --seed 17 --writers 1 --keep 64k").expect(0);
    assert!(ran.err.starts_with("1 rounds with 1 logs from seed 17: "), "{}", ran.err);
    assert!(ran.err.contains("; no violation, "), "{}", ran.err);
}

#[test]
fn an_altered_record_and_a_lost_one_are_noticed() {
    for kind in ["flip", "cut"] {
        let scratch = Scratch::new();
        let ran = scratch.run(&format!("torture logs --rounds 100 --seed 3 --writers 2 --sabotage {kind}")).expect(1);
        let told = ran.err.lines().find(|line| line.starts_with("esker: ")).expect("an error is told");
        assert!(told.contains(" of seed 3: "), "{told}");
        let kept =
            told.strip_prefix("esker: ").and_then(|told| told.split(": ").next()).expect("the directory is named");
        assert!(fs::exists(scratch.path(kept).join("superblock")).expect("the directory can be looked at"), "{told}");
        assert!(told.contains(&format!("`esker verify {kept}`")), "{told}");
    }
}

#[test]
fn only_an_empty_directory_is_tortured() {
    let scratch = Scratch::new();
    scratch.feed("append log", b"precious\n").expect(0);
    let before = scratch.snapshot("log");
    let ran = scratch.run("torture log --rounds 1").expect(2);
    assert!(ran.err.contains("wants an empty directory"), "{}", ran.err);
    assert_eq!(scratch.snapshot("log"), before);
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_it_after_the_round() {
    let scratch = Scratch::new();
    let child = scratch.start("torture logs --rounds 1000000");
    crate::support::eventually("the first log", || {
        fs::exists(scratch.path("logs/log-0/superblock")).ok()?.then_some(())
    });
    crate::support::interrupt(&child);
    let ran = crate::support::finish(child);
    assert_eq!(ran.code, Some(130), "{}", ran.err);
    assert!(ran.err.contains("; no violation, "), "{}", ran.err);
}
