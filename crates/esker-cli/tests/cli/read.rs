//! The reading commands, and `truncate`.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::support::{Scratch, eventually, finish, lines, patch};

/// A log of the records `0` to `99`, and their LSNs.
fn hundred() -> (Scratch, Vec<u64>) {
    let scratch = Scratch::new();
    let input: String = (0..100).map(|number| format!("{number}\n")).collect();
    let acks = scratch.feed("append --segment-bytes 4k --acks log", input.as_bytes()).expect(0);
    let lsns = acks.text().lines().map(|line| line.split('\t').next().unwrap().parse().unwrap()).collect();
    (scratch, lsns)
}

fn numbers(range: std::ops::Range<u32>) -> String {
    range.map(|number| format!("{number}\n")).collect()
}

#[test]
fn cat_selects_by_lsn_and_number() {
    let (scratch, lsns) = hundred();
    let (a, b) = (lsns[10], lsns[20]);
    let check = |options: &str, expected: String| {
        assert_eq!(scratch.run(&format!("cat log{options}")).expect(0).text(), expected, "{options}");
    };
    check("", numbers(0..100));
    check(" -n 0", String::new());
    check(" -n 3", numbers(0..3));
    check(&format!(" --from {a}"), numbers(10..100));
    check(&format!(" --to {b}"), numbers(0..20));
    check(&format!(" --from {a} --to {b}"), numbers(10..20));
    check(&format!(" --from {a} --to {b} -n 4"), numbers(10..14));
    check(&format!(" --from {b} --to {a}"), String::new());
    check(" --from 0", numbers(0..100));
    check(" --from 18446744073709551615", String::new());
    // Between two records, the second is the first one at or after.
    check(&format!(" --from {}", a + 1), numbers(11..100));
    check(&format!(" --from {}", lsns[99] + 1), String::new());
}

#[test]
fn cat_writes_json_lines_that_parse() {
    let scratch = Scratch::new();
    scratch.feed("append log", b"hello\n\xff\0\n").expect(0);
    let by_flag = scratch.run("--json cat log").expect(0);
    assert_eq!(by_flag.out, scratch.run("cat -o jsonl log").expect(0).out);
    let records: Vec<serde_json::Value> =
        by_flag.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(records[0]["len"], 5);
    assert_eq!(records[0]["crc32"], "3610a686");
    assert_eq!(records[0]["payload_base64"], "aGVsbG8=");
    assert_eq!(records[1]["payload_base64"], "/wA=");
    assert!(records[1]["lsn"].as_u64() > records[0]["lsn"].as_u64());
    assert_eq!(scratch.run("cat -o hex log").expect(0).text(), "68656c6c6f\nff00\n");
    assert_eq!(scratch.run("cat -o base64 log").expect(0).text(), "aGVsbG8=\n/wA=\n");
}

#[test]
fn tail_writes_the_last_records() {
    let (scratch, _) = hundred();
    assert_eq!(scratch.run("tail log").expect(0).text(), numbers(90..100));
    assert_eq!(scratch.run("tail -n 3 log").expect(0).text(), numbers(97..100));
    assert_eq!(scratch.run("tail -n 1000 log").expect(0).text(), numbers(0..100));
    assert_eq!(scratch.run("tail -n 0 log").expect(0).text(), "");
    assert_eq!(scratch.run("tail -n 1 -o hex log").expect(0).text(), "3939\n");
    let large = Scratch::new();
    let text = lines(500_000);
    large.file("text", &text);
    large.run("append --segment-bytes 16k log text").expect(0);
    let count = |text: &[u8]| text.iter().filter(|&&byte| byte == b'\n').count();
    for n in [1, 100, 1000, count(&text) - 1] {
        let tail = large.run(&format!("tail -n {n} log")).expect(0).out;
        assert!(text.ends_with(&tail));
        assert_eq!(count(&tail), n);
    }
}

#[cfg(unix)]
#[test]
fn tail_follows_a_log_across_its_writers() {
    let (scratch, _) = hundred();
    let mut follower = scratch.start("tail -n 1 -f log");
    let mut seen = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut next = || seen.next().expect("there is more").expect("a line");
    assert_eq!(next(), "99");
    // Enough for many segments.
    scratch.feed("append log", numbers(100..3000).as_bytes()).expect(0);
    for number in 100..3000 {
        assert_eq!(next(), number.to_string());
    }
    // A second writer, and one that is still at work.
    let mut writer = scratch.start("append --acks log");
    let mut input = writer.stdin.take().unwrap();
    for number in 3000..3010 {
        writeln!(input, "{number}").unwrap();
        assert_eq!(next(), number.to_string());
    }
    drop(input);
    finish(writer).expect(0);
    crate::support::interrupt(&follower);
    finish(follower);
}

/// Rolling, truncation and SIGKILL of the writer, beside a follower that must see each record once.
#[test]
fn tail_follows_a_log_whose_writers_are_killed_and_which_is_truncated() {
    const ROUNDS: usize = 50;
    let (scratch, _) = hundred();
    let mut follower = scratch.start("tail -n 0 -f log");
    let seen = BufReader::new(follower.stdout.take().unwrap()).lines();
    let (sender, followed) = mpsc::channel();
    thread::spawn(move || seen.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    // It follows from where the log ends when it has opened it.
    let mut seen: Vec<(usize, usize)> = Vec::new();
    let parse = |line: String| {
        let (round, number) = line.split_once(' ').expect("a line that was appended");
        (round.parse().unwrap(), number.trim_start_matches('0').parse().unwrap_or(0))
    };
    eventually("following", || {
        scratch.feed("append log", b"0 0\n").expect(0);
        followed.recv_timeout(Duration::from_millis(200)).ok().map(|line| assert_eq!(parse(line), (0, 0)))
    });
    while followed.recv_timeout(Duration::from_millis(300)).is_ok() {}

    let mut acknowledged = vec![0_usize; ROUNDS + 1];
    for (round, acknowledged) in acknowledged.iter_mut().enumerate().skip(1) {
        let mut writer = scratch.start("append --acks log");
        let mut input = writer.stdin.take().unwrap();
        let feeding = thread::spawn(move || {
            for number in 0.. {
                // Long enough that segments of 4 KiB fill soon.
                if writeln!(input, "{round} {number:0100}").is_err() {
                    return;
                }
            }
        });
        let mut acks = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut last = 0;
        for _ in 0..100 + round * 13 % 200 {
            let ack = acks.next().expect("it is not over").expect("a line");
            last = ack.split('\t').next().unwrap().parse().unwrap();
            *acknowledged += 1;
        }
        writer.kill().unwrap();
        // What was acknowledged and not read counts, too.
        *acknowledged += acks.map_while(Result::ok).count();
        writer.wait().unwrap();
        feeding.join().unwrap();
        // What the writer had in hand when it was killed may be there in part; all that was acknowledged is.
        eventually("the follower", || {
            seen.extend(followed.try_iter().map(parse));
            let there = seen.last().is_some_and(|&(of, number)| of == round && number + 1 >= *acknowledged);
            there.then_some(())
        });
        if round % 3 == 0 {
            scratch.run(&format!("truncate log --before {last}")).expect(0);
        }
    }
    crate::support::interrupt(&follower);
    finish(follower);
    seen.extend(followed.try_iter().map(parse));
    let mut counts = vec![0_usize; ROUNDS + 1];
    for (round, number) in seen {
        assert_eq!(number, counts[round], "round {round}: missed or repeated");
        assert!(counts[round + 1..].iter().all(|&later| later == 0), "round {round}: out of order");
        counts[round] += 1;
    }
    for (round, (&seen, &acknowledged)) in counts.iter().zip(&acknowledged).enumerate().skip(1) {
        assert!(seen >= acknowledged, "round {round}: {seen} of {acknowledged}");
    }
    let all: usize = counts.iter().sum();
    assert_eq!(counts.iter().filter(|&&count| count > 0).count(), ROUNDS);
    eprintln!("{ROUNDS} rounds, {all} records, each seen once");
}

#[test]
fn dump_lists_every_message_in_order() {
    let (scratch, lsns) = hundred();
    let dump = scratch.run("dump log").expect(0);
    let rows: Vec<Vec<&str>> = dump.text().lines().map(|line| line.split('\t').collect()).collect();
    assert!(rows.iter().all(|row| row.len() == 7), "{rows:?}");
    let records: Vec<u64> = rows.iter().filter(|row| row[3] == "inline").map(|row| row[0].parse().unwrap()).collect();
    assert_eq!(records, lsns);
    assert!(rows.iter().all(|row| row[6] == "durable"), "a closed log is durable throughout: {rows:?}");
    let as_json = scratch.run("dump log --json").expect(0);
    for (line, row) in as_json.text().lines().zip(&rows) {
        let message: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(message["lsn"].to_string(), row[0]);
        assert_eq!(message["segment"].to_string(), row[1]);
        assert_eq!(message["offset"].to_string(), row[2]);
        assert_eq!(message["kind"], row[3]);
        assert_eq!(message["len"].to_string(), row[4]);
        assert_eq!(message["crc32"], row[5]);
        assert_eq!(message["state"], row[6]);
    }
    assert_eq!(as_json.text().lines().count(), rows.len());
}

#[test]
fn stat_counts_what_is_there() {
    let (scratch, lsns) = hundred();
    let stat = scratch.run("--json stat log").expect(0).json();
    assert_eq!(stat["schema"], 1);
    assert_eq!(stat["segment_bytes"], 4096);
    assert_eq!(stat["floor_lsn"], 0);
    assert!(stat["end_lsn"].as_u64().unwrap() > lsns[99]);
    assert_eq!(stat["closed_cleanly"], true);
    let text = scratch.run("stat log").expect(0);
    assert!(text.text().contains("4096 bytes (4.0 KiB)"), "{}", text.text());
}

#[test]
fn verify_calls_an_intact_log_clean() {
    let (scratch, _) = hundred();
    let ran = scratch.run("verify log").expect(0);
    assert!(ran.text().starts_with("clean: 100 records (0 of them blobs), "), "{}", ran.text());
    let report = scratch.run("verify log --json").expect(0).json();
    assert_eq!(report["schema"], 1);
    assert_eq!(report["clean"], true);
    assert_eq!(report["records"], 100);
    assert!(report["bytes_read"].as_u64().unwrap() > 190);
}

#[test]
fn verify_finds_a_flipped_bit_and_says_where() {
    let (scratch, lsns) = hundred();
    // The payload of record 50 begins after its message's header.
    let row = scratch.run("dump log").expect(0);
    let row: Vec<&str> = row
        .text()
        .lines()
        .map(|row| row.split('\t').collect::<Vec<_>>())
        .find(|row| row[0] == lsns[50].to_string())
        .unwrap();
    let offset: usize = row[2].parse().unwrap();
    patch(&scratch.path("log/log"), |bytes| bytes[offset + 24] ^= 1);
    let before = scratch.snapshot("log");

    let ran = scratch.run("verify log").expect(1);
    let place = format!("log is damaged at offset {offset} (lsn {})", lsns[50]);
    assert!(ran.text().contains(&place), "{}", ran.text());
    let report = scratch.run("--json verify log").expect(1).json();
    assert_eq!(report["clean"], false);
    assert_eq!(report["damages"][0]["lsn"], lsns[50]);
    assert_eq!(report["damages"][0]["offset"], offset);

    // Reading says so too, and goes on with what is left.
    let cat = scratch.run("cat log").expect(1);
    assert!(cat.err.starts_with("esker: ") && cat.err.contains(&place), "{}", cat.err);
    assert_eq!(cat.err.lines().count(), 1, "{}", cat.err);
    assert_eq!(cat.text(), numbers(0..50) + &numbers(51..100));
    assert_eq!(scratch.run("cat log -n 50").expect(0).text(), numbers(0..50));
    assert_eq!(scratch.run("tail log -n 60").expect(1).text(), numbers(39..50) + &numbers(51..100));
    assert!(scratch.run("dump log").expect(1).err.contains(&place));
    assert_eq!(scratch.snapshot("log"), before);
}

#[test]
fn verify_finds_a_flipped_bit_in_any_message_of_any_kind() {
    let scratch = Scratch::new();
    let records: String = (0..12).map(|number| format!("{}\n", "x".repeat(number * 60))).collect();
    scratch.feed("append --segment-bytes 4k log", records.as_bytes()).expect(0);
    let dump = scratch.run("dump log").expect(0);
    let mut kinds = std::collections::BTreeSet::new();
    for row in dump.text().lines().map(|row| row.split('\t').collect::<Vec<_>>()) {
        let (offset, len): (usize, usize) = (row[2].parse().unwrap(), row[4].parse().unwrap());
        kinds.insert(row[3]);
        // Each field of the header, and both ends of the payload.
        for at in [0, 4, 7, 8, 16, 20, 24, 23 + len].into_iter().filter(|&at| at < 24 + len) {
            let flip = || patch(&scratch.path("log/log"), |bytes| bytes[offset + at] ^= 0x10);
            flip();
            let ran = scratch.run("verify log").expect(1);
            let place = format!("log is damaged at offset {offset} (lsn {})", row[0]);
            assert!(ran.text().contains(&place), "byte {at} of {row:?}: {}", ran.text());
            flip();
        }
    }
    assert!(kinds.is_superset(&["inline", "pad", "mark"].into()), "{kinds:?}");
    scratch.run("verify log").expect(0);
}

#[test]
fn one_damaged_copy_of_the_superblock_is_told_and_costs_nothing() {
    for copy in [0, 1] {
        let (scratch, _) = hundred();
        patch(&scratch.path("log/superblock"), |bytes| bytes[4096 * copy + 40] ^= 1);
        let ran = scratch.run("verify log").expect(1);
        let place = format!("superblock is damaged at offset {}", 4096 * copy);
        assert!(ran.text().contains(&place), "{}", ran.text());
        assert_eq!(scratch.run("cat log").expect(0).text(), numbers(0..100));
        // The next writer makes it whole.
        scratch.feed("append log", b"100\n").expect(0);
        scratch.run("verify log").expect(0);
        assert_eq!(scratch.run("cat log").expect(0).text(), numbers(0..101));
    }
}

#[test]
fn verify_finds_each_kind_of_damage() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 5] = [
        ("both superblocks", |log| patch(&log.join("superblock"), |bytes| bytes.fill(0x55))),
        ("a segment header", |log| patch(&log.join("log"), |bytes| bytes[4096 + 40] ^= 1)),
        ("a log cut short", |log| patch(&log.join("log"), |bytes| bytes.truncate(5000))),
        ("an empty log", |log| patch(&log.join("log"), Vec::clear)),
        ("no log", |log| std::fs::remove_file(log.join("log")).unwrap()),
    ];
    for (what, change) in changes {
        let scratch = Scratch::new();
        scratch.feed("append --segment-bytes 4k log", numbers(0..2000).as_bytes()).expect(0);
        change(&scratch.path("log"));
        let before = scratch.snapshot("log");
        let ran = scratch.run("verify log").expect(1);
        assert!(ran.text().starts_with("damaged: "), "{what}: {}", ran.text());
        // Nor is such a log written to, which could destroy what still is there.
        scratch.feed("append log", b"more\n").expect(1);
        assert_eq!(scratch.snapshot("log"), before, "{what}");
    }
}

#[test]
fn verify_finds_damage_in_a_blob() {
    let scratch = Scratch::new();
    scratch
        .feed("append --segment-bytes 4k log", [vec![b'x'; 100_000], b"\nsmall\n".to_vec()].concat().as_slice())
        .expect(0);
    let is_blob = |path: &Path| path.file_name().unwrap().to_string_lossy().starts_with("blob-");
    let blob = scratch.snapshot("log").into_keys().find(|path| is_blob(path)).expect("a blob file");
    patch(&blob, |bytes| bytes[60_000] ^= 1);
    let ran = scratch.run("verify log").expect(1);
    assert!(ran.text().contains(blob.file_name().unwrap().to_str().unwrap()), "{}", ran.text());
    std::fs::remove_file(&blob).unwrap();
    let ran = scratch.run("verify log").expect(1);
    assert!(ran.text().contains("missing"), "{}", ran.text());
}

#[test]
fn truncation_gives_up_what_is_below_and_no_more() {
    let scratch = Scratch::new();
    let input = numbers(0..5000);
    let acks = scratch.feed("append --segment-bytes 4k --acks log", input.as_bytes()).expect(0);
    let lsn_of = |number: usize| acks.text().lines().nth(number).unwrap().split('\t').next().unwrap().to_owned();
    let before = lsn_of(3000);
    let truncation = scratch.run(&format!("--json truncate log --before {before}")).expect(0).json();
    assert_eq!(truncation["floor_lsn"].to_string(), before);
    assert!(truncation["segments_freed"].as_u64().unwrap() > 0);
    assert_eq!(scratch.run("cat log").expect(0).text(), numbers(3000..5000));
    let cat = scratch.run(&format!("cat log --from {}", lsn_of(10))).expect(0);
    assert_eq!(cat.text(), numbers(3000..5000));
    assert!(cat.err.contains("truncated"), "{}", cat.err);
    scratch.run("verify log").expect(0);

    // What was given up stays so, and the same again changes nothing.
    let again = scratch.run(&format!("truncate log --before {}", lsn_of(100))).expect(0);
    assert!(again.err.contains(&format!("begins at lsn {before}")), "{}", again.err);
    // The segments are used again.
    scratch.feed("append log", numbers(5000..6000).as_bytes()).expect(0);
    assert_eq!(scratch.run("cat log").expect(0).text(), numbers(3000..6000));

    let beyond = scratch.run("truncate log --before 99999999").expect(2);
    assert!(beyond.err.contains("was never reserved"), "{}", beyond.err);
}

#[test]
fn reading_commands_leave_no_trace() {
    let (scratch, _) = hundred();
    let before = scratch.snapshot("log");
    for line in ["cat log", "tail log", "dump log", "stat log", "verify log", "cat --json log", "verify --json log"] {
        scratch.run(line).expect(0);
        assert_eq!(scratch.snapshot("log"), before, "{line}");
    }
}

#[test]
fn what_is_exported_is_imported_as_it_was() {
    let (scratch, _) = hundred();
    // Any bytes, none, and more than a segment holds.
    let large: Vec<u8> = (0..20_000_u32).map(|at| (at * 7) as u8).collect();
    let odd: Vec<u8> = [&b"\xff\n\0"[..], b"", &large]
        .iter()
        .flat_map(|record| [&(record.len() as u32).to_le_bytes()[..], record].concat())
        .collect();
    scratch.feed("append --len32 log", &odd).expect(0);
    let exported = scratch.run("export log").expect(0);
    let lines: Vec<serde_json::Value> =
        exported.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&lines[0]["esker"], &lines[0]["segment_bytes"]), (&"log".into(), &4096.into()));
    assert_eq!(lines.last().unwrap(), &serde_json::json!({ "records": 103, "complete": true }));
    let report = scratch.feed("--json import new", &exported.out).expect(0);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&report.out).unwrap()["records"], 103);
    let all = |log: &str| scratch.run(&format!("cat -o len32 {log}")).expect(0).out;
    assert_eq!(all("new"), all("log"));
    scratch.run("verify new").expect(0);
    // Into segments of another size, from a file.
    std::fs::write(scratch.path("log.jsonl"), &exported.out).unwrap();
    scratch.run("import --segment-bytes 64k other log.jsonl").expect(0);
    assert_eq!(all("other"), all("log"));
    // A log that has records already is left alone.
    scratch.feed("import other", &exported.out).expect(2);
    assert_eq!(all("other"), all("log"));
}

#[test]
fn what_was_not_exported_like_this_is_not_imported() {
    let (scratch, _) = hundred();
    let exported = scratch.run("export log").expect(0).text().to_owned();
    let refuse = |input: &str, why: &str| {
        let dir = why.replace(' ', "-").replace('"', "");
        let refused = scratch.feed(&format!("import {dir}"), input.as_bytes()).expect(3);
        assert!(refused.err.contains(why), "{}", refused.err);
    };
    refuse("", "there is nothing in it");
    refuse("{}\n", "not the first line");
    refuse("no JSON\n", "line 1");
    refuse(&exported.replacen("\"schema\":1", "\"schema\":2", 1), "schema is 2");
    refuse(&exported[..exported.rfind("{\"complete").unwrap()], "it was cut");
    refuse(&exported.replacen("\"payload_base64\":\"MQ==", "\"payload_base64\":\"Mg==", 1), "checksum");
    refuse(&exported.replacen("\"len\":1", "\"len\":2", 1), "not as long");
    refuse(&exported.replacen("\"records\":100", "\"records\":99", 1), "99 records");
}

#[test]
fn completions_and_manual_pages_are_written() {
    let scratch = Scratch::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(scratch.run(&format!("completions {shell}")).expect(0).text().contains("salvage"), "{shell}");
    }
    assert!(scratch.run("man").expect(0).text().contains(".TH esker 1"));
    assert!(scratch.run("man append").expect(0).text().contains("acks"));
    scratch.run("man nothing").expect(2);
}

#[test]
fn fsync_test_measures_each_way_and_leaves_nothing() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("disk")).unwrap();
    let found = scratch.run("--json fsync-test disk --millis 5").expect(0).json();
    let ways = found["ways"].as_array().unwrap();
    assert!(ways.len() >= 6 && ways.iter().all(|way| way["per_second"].as_f64().unwrap() > 0.0), "{found}");
    assert!(found["advice"].as_str().unwrap().contains("sync"));
    assert!(scratch.run("fsync-test disk --millis 5").expect(0).text().contains("fdatasync"));
    assert_eq!(std::fs::read_dir(scratch.path("disk")).unwrap().count(), 0);
    scratch.run("fsync-test nowhere").expect(3);
}
