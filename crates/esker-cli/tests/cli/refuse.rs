//! What is refused, with which code, and that it is left alone.

use std::{
    fs,
    io::Write,
    time::{Duration, Instant},
};

use crate::support::{Scratch, finish, patch};

const READING: [&str; 5] = ["cat", "tail", "dump", "stat", "verify"];

/// Runs every command on `dir`, expects `code`, and that nothing in `watched` changes.
fn check_refused(scratch: &Scratch, dir: &str, watched: &str, code: i32, says: &str) {
    let before = scratch.snapshot(watched);
    let mut lines: Vec<String> = READING.iter().map(|command| format!("{command} {dir}")).collect();
    lines.push(format!("append {dir}"));
    lines.push(format!("truncate {dir} --before 64"));
    for line in lines {
        let ran = scratch.feed(&line, b"record\n").expect(code);
        assert_eq!(ran.err.lines().count(), 1, "{line}: one line, not {:?}", ran.err);
        assert!(ran.err.contains(says), "{line}: {}", ran.err);
        assert_eq!(ran.out, b"", "{line}");
        assert_eq!(scratch.snapshot(watched), before, "{line}");
    }
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("home/sub")).unwrap();
    scratch.file("home/log", "a log of another kind");
    scratch.file("home/notes", "do not touch");
    scratch.file("home/sub/more", "");
    check_refused(&scratch, "home", "home", 5, "home: not an esker directory");
}

#[test]
fn a_directory_of_something_else_with_our_names_is_left_alone() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("other")).unwrap();
    scratch.file("other/superblock", "not one of ours");
    scratch.file("other/log", "");
    let before = scratch.snapshot("other");
    for command in READING {
        let ran = scratch.run(&format!("{command} other"));
        assert_eq!(ran.code, Some(5), "{command}: {ran:?}");
        assert_eq!(scratch.snapshot("other"), before, "{command}");
    }
    let ran = scratch.feed("append other", b"record\n");
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert_eq!(scratch.snapshot("other"), before, "append");
}

#[test]
fn a_file_is_no_log() {
    let scratch = Scratch::new();
    scratch.file("file", "");
    check_refused(&scratch, "file", ".", 5, "file: not an esker directory");
}

#[test]
fn what_does_not_exist_is_not_created_by_reading() {
    let scratch = Scratch::new();
    for line in READING.map(|command| format!("{command} log")).iter().chain(&["truncate log --before 64".to_owned()]) {
        let ran = scratch.run(line).expect(5);
        assert!(ran.err.starts_with("esker: log: "), "{line}: {}", ran.err);
        assert!(!scratch.path("log").exists(), "{line}");
    }
}

#[test]
fn an_empty_directory_is_no_log_to_read_and_one_to_be() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("log")).unwrap();
    for command in READING {
        scratch.run(&format!("{command} log")).expect(5);
    }
    assert_eq!(fs::read_dir(scratch.path("log")).unwrap().count(), 0);
    scratch.feed("append log", b"1\n").expect(0);
    assert_eq!(scratch.run("cat log").expect(0).out, b"1\n");
}

#[test]
fn a_log_of_a_newer_format_is_left_alone() {
    let scratch = Scratch::new();
    scratch.feed("append log", b"1\n").expect(0);
    patch(&scratch.path("log/superblock"), |bytes| {
        for copy in bytes.chunks_exact_mut(4096) {
            // The version, after the magic and the checksum; and then the checksum, seeded with that of the identity.
            copy[12..14].copy_from_slice(&77_u16.to_le_bytes());
            let mut checksum = crc32fast::Hasher::new_with_initial(crc32fast::hash(&copy[16..32]));
            checksum.update(&copy[12..]);
            copy[8..12].copy_from_slice(&checksum.finalize().to_le_bytes());
        }
    });
    check_refused(&scratch, "log", "log", 5, "77");
}

#[test]
fn a_second_writer_is_told_at_once_and_readers_are_not_hindered() {
    let scratch = Scratch::new();
    scratch.feed("append log", b"1\n").expect(0);
    let mut first = scratch.start("append --acks log");
    let mut input = first.stdin.take().unwrap();
    writeln!(input, "2").unwrap();
    crate::support::eventually("the second record", || (scratch.run("cat log").out == b"1\n2\n").then_some(()));

    let began = Instant::now();
    for line in ["append log", "truncate log --before 64"] {
        let ran = scratch.feed(line, b"3\n").expect(4);
        assert!(ran.err.contains("locked by another process"), "{}", ran.err);
    }
    assert!(began.elapsed() < Duration::from_secs(20), "not a hang: {:?}", began.elapsed());
    for command in READING {
        scratch.run(&format!("{command} log")).expect(0);
    }
    drop(input);
    finish(first).expect(0);
    scratch.feed("append log", b"3\n").expect(0);
    assert_eq!(scratch.run("cat log").expect(0).out, b"1\n2\n3\n");
}

#[test]
fn wrong_usage_is_told_and_does_nothing() {
    let scratch = Scratch::new();
    for line in [
        "",
        "explode log",
        "cat",
        "cat log --from here",
        "cat log -o xml",
        "cat log --json -o hex",
        "cat log -n -1",
        "append log --threads 0",
        "append log --threads 1025",
        "append log -0 --len32",
        "append log --max-record 3G",
        "append log --segment-bytes 1MB",
        "truncate log",
        "truncate log --before",
        "tail log --before 3",
    ] {
        let ran = scratch.run(line).expect(2);
        assert_eq!(ran.out, b"", "{line}");
        assert!(!ran.err.is_empty(), "{line}");
    }
    assert_eq!(fs::read_dir(scratch.path(".")).unwrap().count(), 0);
}

/// Root may do everything, so as root the command is run as nobody.
#[cfg(unix)]
#[test]
fn what_may_not_be_written_can_be_read_and_is_told() {
    use std::{
        os::unix::{fs::PermissionsExt, process::CommandExt},
        path::Path,
        process::Command,
    };

    use crate::support::run;

    let scratch = Scratch::new();
    let chmod = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    scratch.feed("append log", b"1\n").expect(0);
    // Nobody may look into the build directory perhaps, but into this one.
    chmod(&scratch.path("."), 0o755);
    let program = scratch.path("esker");
    fs::copy(env!("CARGO_BIN_EXE_esker"), &program).unwrap();
    chmod(&program, 0o755);
    let command = |line: &str| {
        let mut command = Command::new(&program);
        command.args(line.split(' ')).current_dir(scratch.path(".")).env_remove("ESKER_DIR");
        if rustix::process::geteuid().is_root() {
            command.uid(65534).gid(65534);
        }
        command
    };

    for entry in fs::read_dir(scratch.path("log")).unwrap() {
        chmod(&entry.unwrap().path(), 0o444);
    }
    chmod(&scratch.path("log"), 0o555);
    for reading in READING {
        run(command(&format!("{reading} log")), b"").expect(0);
    }
    let ran = run(command("append log"), b"2\n").expect(3);
    assert!(ran.err.contains("Permission denied"), "{}", ran.err);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);

    chmod(&scratch.path("log"), 0o000);
    let ran = run(command("cat log"), b"").expect(3);
    assert!(ran.err.contains("Permission denied"), "{}", ran.err);
    chmod(&scratch.path("log"), 0o755);
}
