//! `append`: what goes in comes out, acknowledgements, and inputs that are not made of records.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    time::{Duration, Instant},
};

use crate::support::{Scratch, lines, sorted};

/// Records of every length up to 300, of every byte, and some that are too long for a buffer.
fn binary_records() -> Vec<Vec<u8>> {
    let mut records: Vec<Vec<u8>> = (0..300).map(|len| (0..len).map(|at| (at * 7 + len) as u8).collect()).collect();
    records.push((0..=255).collect());
    records.push(vec![0; 3_000_000]);
    records.push(vec![0xff; 700_000]);
    records.push(Vec::new());
    records
}

fn with_lengths(records: &[Vec<u8>]) -> Vec<u8> {
    records.iter().flat_map(|record| [&(record.len() as u32).to_le_bytes()[..], record].concat()).collect()
}

/// The meta lines that a list of payloads must have, without the LSN.
fn lengths_and_sums(meta: &str) -> Vec<(usize, String)> {
    let columns = meta.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    columns
        .map(|columns| {
            assert_eq!(columns.len(), 3, "{columns:?}");
            assert!(columns[0].parse::<u64>().is_ok(), "{columns:?}");
            (columns[1].parse().expect("a length"), columns[2].to_owned())
        })
        .collect()
}

#[test]
fn cat_gives_back_the_bytes_of_a_file() {
    let scratch = Scratch::new();
    let text = lines(3_000_000);
    scratch.file("text", &text);
    scratch.run("append log text").expect(0);
    let back = scratch.run("cat log").expect(0);
    assert!(back.out == text, "{} bytes became {}", text.len(), back.out.len());
    // And again, by a log that exists.
    scratch.run("append log text").expect(0);
    assert!(scratch.run("cat log").expect(0).out == [&text[..], &text[..]].concat());
}

#[test]
fn a_last_line_without_a_line_break_is_a_record() {
    let scratch = Scratch::new();
    scratch.feed("append log", b"a\n\nb").expect(0);
    assert_eq!(scratch.run("cat log").expect(0).out, b"a\n\nb\n");
}

#[test]
fn records_end_with_their_file() {
    let scratch = Scratch::new();
    scratch.file("one", "1\n2");
    scratch.file("none", "");
    scratch.file("three", "4\n");
    scratch.feed("append log one none - three", b"3").expect(0);
    assert_eq!(scratch.run("cat log").expect(0).out, b"1\n2\n3\n4\n");
}

#[test]
fn nothing_appended_is_still_a_log() {
    let scratch = Scratch::new();
    scratch.run("append log").expect(0);
    assert_eq!(scratch.run("cat log").expect(0).out, b"");
    scratch.run("verify log").expect(0);
}

#[test]
fn records_with_lengths_hold_every_byte() {
    let scratch = Scratch::new();
    let input = with_lengths(&binary_records());
    scratch.feed("append --len32 log", &input).expect(0);
    assert!(scratch.run("cat -o len32 log").expect(0).out == input);
}

#[test]
fn records_before_a_nul_hold_line_breaks() {
    let scratch = Scratch::new();
    let input: Vec<u8> = (0..=255).rev().cycle().take(5_000).chain([0]).collect();
    scratch.feed("append -0 log", &input).expect(0);
    assert!(scratch.run("cat -o nul log").expect(0).out == input);
}

#[test]
fn acknowledgements_of_one_thread_follow_the_input() {
    let scratch = Scratch::new();
    let records = binary_records();
    let acks = scratch.feed("append --acks --len32 log", &with_lengths(&records)).expect(0);
    let expected: Vec<(usize, String)> =
        records.iter().map(|record| (record.len(), format!("{:08x}", crc32fast::hash(record)))).collect();
    assert_eq!(lengths_and_sums(acks.text()), expected);
    let meta = scratch.run("cat -o meta log").expect(0);
    assert_eq!(meta.text(), acks.text());
}

#[test]
fn many_threads_append_every_line_once_and_acknowledge_it() {
    let scratch = Scratch::new();
    let text = lines(2_000_000);
    scratch.file("text", &text);
    let acks = scratch.run("append --threads 8 --acks log text").expect(0);
    assert!(sorted(&scratch.run("cat log").expect(0).out) == sorted(&text));
    let meta = scratch.run("cat -o meta log").expect(0);
    assert!(sorted(&acks.out) == sorted(&meta.out));
    let lsns: Vec<u64> = meta.text().lines().map(|line| line.split('\t').next().unwrap().parse().unwrap()).collect();
    assert!(lsns.is_sorted_by(|a, b| a < b), "LSNs rise");
}

#[test]
fn a_record_is_acknowledged_while_the_next_is_not_known_yet() {
    let scratch = Scratch::new();
    let mut child = scratch.start("append --acks log");
    let mut input = child.stdin.take().unwrap();
    let mut acks = BufReader::new(child.stdout.take().unwrap());
    let mut slowest = Duration::ZERO;
    for number in 0..20 {
        let record = format!("record {number}");
        // The clock must not run while the command starts.
        let began = (number > 0).then(Instant::now);
        writeln!(input, "{record}").unwrap();
        let mut ack = String::new();
        acks.read_line(&mut ack).unwrap();
        slowest = slowest.max(began.map_or(Duration::ZERO, |began| began.elapsed()));
        assert!(ack.ends_with(&format!("\t{}\t{:08x}\n", record.len(), crc32fast::hash(record.as_bytes()))), "{ack}");
        // What is acknowledged is there for others, while the log is being written.
        assert!(scratch.run("cat -o meta log").expect(0).text().ends_with(&ack));
    }
    // Milliseconds usually; this much on a machine that is busy with other things.
    assert!(slowest < Duration::from_secs(5), "an acknowledgement took {slowest:?}");
    drop(input);
    crate::support::finish(child).expect(0);
}

#[test]
fn a_record_without_acknowledgements_is_there_for_readers_soon() {
    let scratch = Scratch::new();
    let mut child = scratch.start("append log");
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "hello").unwrap();
    crate::support::eventually("the record", || {
        let ran = scratch.run("cat log");
        (ran.code == Some(0) && ran.out == b"hello\n").then_some(())
    });
    drop(input);
    crate::support::finish(child).expect(0);
}

#[test]
fn an_input_that_ends_inside_a_record_is_told_with_its_place() {
    let scratch = Scratch::new();
    let mut input = with_lengths(&[b"whole".to_vec(), b"whole too".to_vec()]);
    input.extend_from_slice(b"\x05\0\0\0cut");
    let ran = scratch.feed("append --len32 --acks log", &input).expect(3);
    assert!(ran.err.contains("standard input: record 3 (at byte 22) is cut off after 7 bytes"), "{}", ran.err);
    assert!(ran.err.contains("2 records were appended"), "{}", ran.err);
    assert_eq!(ran.text().lines().count(), 2);
    assert_eq!(scratch.run("cat log").expect(0).out, b"whole\nwhole too\n");
}

#[test]
fn a_record_over_the_limit_is_told_with_its_place() {
    let scratch = Scratch::new();
    scratch.file("text", format!("short\n{}\nlost\n", "x".repeat(5000)));
    let ran = scratch.run("append --max-record 4k log text").expect(3);
    assert!(ran.err.contains("text: record 2 (at byte 6) is longer than --max-record allows"), "{}", ran.err);
    assert_eq!(scratch.run("cat log").expect(0).out, b"short\n");
    // A length is a claim, and nothing is reserved for it.
    let ran = scratch.feed("append --len32 log2", &[0xff; 8]).expect(3);
    assert!(ran.err.contains("record 1 (at byte 0)"), "{}", ran.err);
}

#[test]
fn an_input_that_is_not_there_creates_no_log() {
    let scratch = Scratch::new();
    scratch.file("here", "1\n");
    let ran = scratch.run("append log here missing").expect(3);
    assert!(ran.err.starts_with("esker: missing: "), "{}", ran.err);
    let ran = scratch.run("append log .").expect(3);
    assert!(ran.err.starts_with("esker: .: "), "{}", ran.err);
    assert!(!scratch.path("log").exists());
}

#[test]
fn sizes_apply_to_a_log_that_is_created_and_only_then() {
    let scratch = Scratch::new();
    scratch.feed("append --segment-bytes 64KiB --buffer-bytes 8k log", b"1\n").expect(0);
    assert_eq!(scratch.run("--json stat log").expect(0).json()["segment_bytes"], 64 << 10);
    scratch.feed("append --segment-bytes 4k log", b"2\n").expect(0);
    assert_eq!(scratch.run("stat log --json").expect(0).json()["segment_bytes"], 64 << 10);
    assert_eq!(scratch.run("cat log").expect(0).out, b"1\n2\n");
}

#[test]
fn sizes_out_of_range_are_wrong_usage_and_create_nothing() {
    let scratch = Scratch::new();
    let ran = scratch.run("append --segment-bytes 5000 --buffer-bytes 1 log").expect(2);
    assert!(ran.err.contains("segment_bytes") && ran.err.contains("buffer_bytes"), "both faults: {}", ran.err);
    assert!(!scratch.path("log").exists());
}

#[test]
fn records_longer_than_a_segment_come_back() {
    let scratch = Scratch::new();
    let records: Vec<Vec<u8>> = (1..40).map(|n| vec![n as u8; n * 1000]).collect();
    let input = with_lengths(&records);
    scratch.feed("append --len32 --segment-bytes 16k --threads 3 --acks log", &input).expect(0);
    let back = scratch.run("cat -o len32 log").expect(0).out;
    let mut found = BTreeSet::new();
    let mut rest = &back[..];
    while let Some((len, tail)) = rest.split_first_chunk::<4>() {
        let (record, tail) = tail.split_at(u32::from_le_bytes(*len) as usize);
        found.insert(record.to_vec());
        rest = tail;
    }
    assert!(found == records.into_iter().collect());
    scratch.run("verify log").expect(0);
}

#[test]
fn the_directories_above_a_log_are_created_too() {
    let scratch = Scratch::new();
    scratch.feed("append a/b/log", b"1\n").expect(0);
    assert_eq!(scratch.run("cat a/b/log").expect(0).out, b"1\n");
    assert_eq!(fs::read_dir(scratch.path("a")).unwrap().count(), 1);
}
