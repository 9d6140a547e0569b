//! `salvage` and `repair`.

use crate::support::{Scratch, patch};

/// A closed log of several segments and its dump, line by line.
fn log() -> (Scratch, Vec<Vec<String>>) {
    let scratch = Scratch::new();
    let records: String = (0..400).map(|number| format!("record {number}\n")).collect();
    scratch.feed("append --segment-bytes 4k log", records.as_bytes()).expect(0);
    let dump = scratch.run("dump log").expect(0);
    let rows = dump.text().lines().map(|row| row.split('\t').map(str::to_owned).collect()).collect();
    (scratch, rows)
}

fn flip(scratch: &Scratch, file: &str, at: usize) {
    patch(&scratch.path(&format!("log/{file}")), |bytes| bytes[at] ^= 1);
}

#[test]
fn salvage_keeps_every_record_but_the_damaged_and_says_which() {
    let (scratch, rows) = log();
    let (lsn, offset) = (&rows[150][0], rows[150][2].parse::<usize>().unwrap());
    flip(&scratch, "log", offset + 26);
    let before = scratch.snapshot("log");
    let ran = scratch.run("salvage log out").expect(1);
    assert!(ran.text().starts_with(&format!("lost: lsn {lsn} to {}: log is damaged", rows[151][0])), "{}", ran.text());
    assert!(ran.text().ends_with("; 1 part is lost\n"), "{}", ran.text());
    assert_eq!(scratch.snapshot("log"), before);
    scratch.run("verify out").expect(0);
    let cat = scratch.run("cat out").expect(0);
    assert_eq!(cat.text().lines().count(), 399);
    // All records have their places.
    let meta = |dir: &str| {
        let text = scratch.run(&format!("cat -o meta {dir}")).text().to_owned();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(meta("out"), meta("log"));
    let report = scratch.run("--json salvage log again").expect(1).json();
    assert_eq!(
        (&report["records"], &report["lost"][0]["from_lsn"]),
        (&399.into(), &lsn.parse::<u64>().unwrap().into())
    );
    // Nothing is overwritten.
    scratch.run("salvage log out").expect(2);
    scratch.feed("append out", b"goes on\n").expect(0);
}

#[test]
fn salvage_does_without_a_superblock() {
    let (scratch, _) = log();
    std::fs::remove_file(scratch.path("log/superblock")).unwrap();
    let ran = scratch.run("salvage log out").expect(0);
    assert!(ran.text().starts_with("400 records"), "{}", ran.text());
    assert_eq!(scratch.run("cat out").expect(0).text().lines().count(), 400);
    scratch.run("salvage nothing out2").expect(5);
}

#[test]
fn repair_says_what_it_would_do_and_does_it_if_told() {
    let (scratch, rows) = log();
    scratch.run("repair log").expect(0);
    flip(&scratch, "superblock", 4096 + 40);
    flip(&scratch, "log", 4096 + 32);
    let whole = scratch.run("cat log").text().to_owned();
    let before = scratch.snapshot("log");
    let ran = scratch.run("repair log").expect(1);
    assert!(ran.text().ends_with("2 repairs to do: --yes does them\n"), "{}", ran.text());
    assert_eq!(ran.text().matches("to do: ").count(), 3, "{}", ran.text());
    assert_eq!(scratch.snapshot("log"), before);
    let ran = scratch.run("--json repair --yes log/").expect(0);
    assert_eq!(ran.json()["steps"].as_array().unwrap().len(), 2);
    assert!(ran.json()["kept"].as_str().unwrap().ends_with("log.replaced"), "{}", ran.text());
    let old = std::fs::read(scratch.path("log.replaced/log-4096")).unwrap();
    assert_eq!(old.len(), 64);
    scratch.run("verify log").expect(0);
    assert_eq!(scratch.run("cat log").expect(0).text(), whole);
    assert!(scratch.run("repair log").expect(0).text().starts_with("nothing to repair"));

    // What is beyond repair is left alone.
    flip(&scratch, "log", rows[10][2].parse::<usize>().unwrap() + 25);
    let ran = scratch.run("repair --yes log").expect(1);
    assert!(
        ran.text().contains("beyond repair: lsn ") && ran.err.contains("esker salvage"),
        "{}{}",
        ran.text(),
        ran.err
    );
    // Nor is what was kept before overwritten.
    flip(&scratch, "superblock", 30);
    scratch.run("repair --yes log").expect(2);
    scratch.run("repair --yes log --keep kept").expect(1);
    assert!(scratch.path("kept/superblock-0").exists());
}
