//! Interrupts, readers that leave, and disks that take no more.
#![cfg(unix)]

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    process::Child,
    thread,
    time::{Duration, Instant},
};

use crate::support::{Ran, Scratch, eventually, finish, interrupt, lines, run};

/// Feeds lines without end until the child stops reading.
fn feed_endlessly(child: &mut Child) -> thread::JoinHandle<()> {
    let mut input = child.stdin.take().expect("standard input is a pipe");
    thread::spawn(move || {
        let text = lines(100_000);
        while input.write_all(&text).is_ok() {}
    })
}

/// The number after `below lsn ` in an error.
fn stable_lsn(err: &str) -> u64 {
    let (_, after) = err.rsplit_once("below lsn ").unwrap_or_else(|| panic!("no LSN in {err:?}"));
    after.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// Every acknowledgement that was printed in full.
fn acknowledged(out: &[u8]) -> BTreeSet<Vec<u8>> {
    let complete = out.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
    complete.map(<[u8]>::to_vec).collect()
}

fn check_survives(scratch: &Scratch, acks: &[u8]) {
    let meta: BTreeSet<Vec<u8>> = acknowledged(&scratch.run("cat -o meta log").expect(0).out);
    let lost: Vec<_> = acknowledged(acks).into_iter().filter(|ack| !meta.contains(ack)).collect();
    assert!(lost.is_empty(), "{} of {} lost", lost.len(), acknowledged(acks).len());
}

#[test]
fn an_interrupt_makes_everything_durable_and_says_how_far() {
    let scratch = Scratch::new();
    let mut child = scratch.start("append --threads 2 --acks log");
    let feeder = feed_endlessly(&mut child);
    let mut acks = child.stdout.take().unwrap();
    let mut collected = vec![0; 10_000];
    acks.read_exact(&mut collected).unwrap();
    interrupt(&child);
    // The pipe must not fill while the command goes on to its end.
    let rest = thread::spawn(move || {
        acks.read_to_end(&mut collected).unwrap();
        collected
    });
    let ran = finish(child).expect(130);
    feeder.join().unwrap();
    let acks = rest.join().unwrap();
    assert!(acks.ends_with(b"\n"), "no acknowledgement is torn");
    assert!(ran.err.contains("esker: interrupted; everything below lsn "), "{}", ran.err);
    check_survives(&scratch, &acks);
    // Everything below that LSN is what was acknowledged, and is all there is.
    let meta = scratch.run("cat -o meta log").expect(0).out;
    assert_eq!(acknowledged(&acks), acknowledged(&meta));
    let last = String::from_utf8(meta).unwrap().lines().last().unwrap().split('\t').next().unwrap().parse().unwrap();
    assert!(stable_lsn(&ran.err) > last);
}

#[test]
fn an_interrupt_does_not_wait_for_input() {
    let scratch = Scratch::new();
    let mut child = scratch.start("append --acks log");
    // Held open, so that the input does not end.
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "one").unwrap();
    let mut first = String::new();
    let mut acks = BufReader::new(child.stdout.take().unwrap());
    acks.read_line(&mut first).unwrap();
    interrupt(&child);
    let began = Instant::now();
    finish(child).expect(130);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    drop(input);
    assert_eq!(scratch.run("cat -o meta log").expect(0).text(), first);
}

#[test]
fn an_interrupted_summary_is_json_if_asked_for() {
    let scratch = Scratch::new();
    let mut child = scratch.start("--json append log");
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "one").unwrap();
    eventually("the record", || (scratch.run("cat log").out == b"one\n").then_some(()));
    interrupt(&child);
    let ran = finish(child).expect(130);
    let document = ran.json();
    assert_eq!(document["interrupted"], true);
    assert_eq!(document["records"], 1);
    assert_eq!(document["stable_lsn"], stable_lsn(&ran.err));
    drop(input);
}

#[test]
fn acknowledgements_survive_a_kill_at_any_moment() {
    let scratch = Scratch::new();
    let mut acks = Vec::new();
    for round in 0..6 {
        let mut child = scratch.start("-q append --threads 4 --acks log");
        let feeder = feed_endlessly(&mut child);
        let mut out = child.stdout.take().unwrap();
        let mut collected = Vec::new();
        if round == 0 {
            // While the log is being created, or a little later.
            thread::sleep(Duration::from_millis(3));
        } else {
            // Amid the traffic, further on each time.
            collected.resize(7919 * round, 0);
            out.read_exact(&mut collected).unwrap();
        }
        child.kill().unwrap();
        out.read_to_end(&mut collected).unwrap();
        child.wait().unwrap();
        feeder.join().unwrap();
        // The last line may be torn by the kill.
        let end = collected.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        acks.extend_from_slice(&collected[..end]);
        if scratch.path("log/superblock").exists() {
            check_survives(&scratch, &acks);
            scratch.run("verify log").expect(0);
        }
    }
    assert!(!acks.is_empty());
}

#[test]
fn a_reader_that_leaves_ends_every_command_quietly() {
    let scratch = Scratch::new();
    scratch.file("text", lines(2_000_000));
    scratch.run("append --segment-bytes 64k log text").expect(0);
    for line in ["cat log", "cat -o meta log", "dump log", "tail -n 1000000 log", "tail -f -n 1000000 log", "--help"] {
        let mut child = scratch.start(line);
        drop(child.stdout.take());
        let ran = finish(child).expect(0);
        assert_eq!(ran.err, "", "{line}");
    }
    // The pipe may also break after a while.
    let mut child = scratch.start("cat log");
    child.stdout.take().unwrap().read_exact(&mut [0; 1000]).unwrap();
    assert_eq!(finish(child).expect(0).err, "");
}

#[test]
fn a_reader_of_acknowledgements_that_leaves_ends_an_endless_append() {
    let scratch = Scratch::new();
    let mut child = scratch.start("-q append --threads 2 --acks log");
    let feeder = feed_endlessly(&mut child);
    let mut acks = child.stdout.take().unwrap();
    let mut first = [0; 1000];
    acks.read_exact(&mut first).unwrap();
    drop(acks);
    let ran = finish(child).expect(0);
    assert_eq!(ran.err, "");
    feeder.join().unwrap();
    let end = first.iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
    check_survives(&scratch, &first[..end]);
    assert_eq!(scratch.run("--json stat log").expect(0).json()["closed_cleanly"], true);
}

#[test]
fn following_ends_at_an_interrupt() {
    let scratch = Scratch::new();
    scratch.feed("append log", b"1\n2\n3\n").expect(0);
    let mut child = scratch.start("tail -n 2 -f log");
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "2\n3\n");
    interrupt(&child);
    let Ran { code, err, .. } = finish(child);
    assert_eq!((code, err.as_str()), (Some(130), ""));
}

/// Runs `append` with a limit on the length of files, which a disk without room resembles.
fn append_within(scratch: &Scratch, blocks: u32, args: &str, input: &[u8]) -> Ran {
    let esker = env!("CARGO_BIN_EXE_esker");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec '{esker}' {args}");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]).current_dir(scratch.path("."));
    run(command, input)
}

#[test]
fn a_disk_that_takes_no_more_is_told_and_keeps_what_was_acknowledged() {
    let scratch = Scratch::new();
    let text = lines(4_000_000);
    // Half a MiB in blocks of 512 bytes; shells that count in KiB allow twice that.
    let ran = append_within(&scratch, 1024, "append --segment-bytes 64k --acks log", &text).expect(3);
    let errors: Vec<&str> = ran.err.lines().filter(|line| line.starts_with("esker: ")).collect();
    assert_eq!(errors.len(), 1, "{}", ran.err);
    assert!(stable_lsn(errors[0]) > 64, "{}", ran.err);
    assert!(!ran.out.is_empty());
    check_survives(&scratch, &ran.out);
    // With room again, the log goes on.
    scratch.feed("append log", b"after\n").expect(0);
    check_survives(&scratch, &ran.out);
    assert_eq!(scratch.run("tail -n 1 log").expect(0).out, b"after\n");
    scratch.run("verify log").expect(0);
}
