//! What is said, where, and how it is kept apart from data.

use crate::support::{Scratch, run};

#[test]
fn the_summary_goes_to_standard_error() {
    let scratch = Scratch::new();
    let ran = scratch.feed("append log", b"one\nthree\n").expect(0);
    assert_eq!(ran.out, b"");
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert!(ran.err.starts_with("appended 2 records, 8 bytes (8 B) in "), "{}", ran.err);
    for part in [" records/s, ", " MB/s, ", " syncs, stable below lsn "] {
        assert!(ran.err.contains(part), "{}", ran.err);
    }
}

#[test]
fn quiet_means_errors_alone() {
    let scratch = Scratch::new();
    assert_eq!(scratch.feed("-q append log", b"one\n").expect(0).err, "");
    assert_eq!(scratch.feed("append --quiet --json --acks log", b"two\n").expect(0).err, "");
    assert_eq!(scratch.run("-q truncate log --before 64").expect(0).err, "");
    assert_eq!(scratch.run("-q verify log").expect(0).err, "");
    assert!(scratch.run("-q cat missing").expect(5).err.starts_with("esker: missing: "));
}

#[test]
fn the_summary_is_a_json_document_where_nothing_else_is_printed() {
    let scratch = Scratch::new();
    let ran = scratch.feed("append --json log", b"one\nthree\n").expect(0);
    assert_eq!(ran.err, "");
    let document = ran.json();
    assert_eq!(document["schema"], 1);
    assert_eq!(document["records"], 2);
    assert_eq!(document["payload_bytes"], 8);
    assert_eq!(document["interrupted"], false);
    assert!(document["syncs"].as_u64().unwrap() > 0);
    assert!(document["seconds"].as_f64().unwrap() > 0.0);
    assert!(document["records_per_second"].as_f64().unwrap() > 0.0);
    let stable = document["stable_lsn"].as_u64().unwrap();

    // Acknowledgements have standard output for themselves.
    let ran = scratch.feed("append --json --acks log", b"four\n").expect(0);
    let columns: Vec<&str> = ran.text().trim_end().split('\t').collect();
    assert_eq!(&columns[1..], ["4", &format!("{:08x}", crc32fast::hash(b"four"))]);
    let document: serde_json::Value = serde_json::from_str(&ran.err).expect("JSON");
    assert!(document["stable_lsn"].as_u64().unwrap() > stable);
}

#[test]
fn an_error_is_one_line_even_if_a_name_is_not() {
    let scratch = Scratch::new();
    let ran = run(scratch.command(["cat", "a\nb"]), b"").expect(5);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
}

#[test]
fn esker_dir_is_the_directory_if_none_is_named() {
    let scratch = Scratch::new();
    let with_env = |args: &[&str], input: &[u8]| {
        let mut command = scratch.command(args);
        command.env("ESKER_DIR", "from-env");
        run(command, input)
    };
    with_env(&["append"], b"1\n").expect(0);
    assert_eq!(with_env(&["cat"], b"").expect(0).out, b"1\n");
    assert_eq!(scratch.run("cat from-env").expect(0).out, b"1\n");
    with_env(&["verify"], b"").expect(0);
    with_env(&["truncate", "--before", "64"], b"").expect(0);
    // A directory that is named counts.
    with_env(&["cat", "other"], b"").expect(5);
}

#[test]
fn colour_is_for_terminals_and_no_color_turns_it_off() {
    let scratch = Scratch::new();
    let err = |environment: &[(&str, &str)]| {
        let mut command = scratch.command(["cat", "missing"]);
        command.envs(environment.iter().copied());
        let ran = run(command, b"");
        assert_eq!(ran.code, Some(5));
        ran.err
    };
    assert!(!err(&[]).contains('\x1b'));
    assert!(err(&[("CLICOLOR_FORCE", "1")]).contains('\x1b'));
    assert!(!err(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).contains('\x1b'));
}

#[test]
fn help_tells_the_exit_codes() {
    let scratch = Scratch::new();
    let help = scratch.run("--help").expect(0);
    for code in ["0  ", "1  ", "2  ", "3  ", "4  ", "5  ", "130"] {
        assert!(help.text().contains(&format!("\n  {code}  ")), "{code} in {}", help.text());
    }
    for command in ["append", "cat", "tail", "dump", "stat", "verify", "truncate"] {
        assert!(help.text().contains(&format!("\n  {command}")), "{command}");
        scratch.run(&format!("{command} --help")).expect(0);
    }
    assert!(scratch.run("--version").expect(0).text().starts_with("esker "));
}
