//! The lock of a file storage holds between processes, and goes with its holder.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use esker_storage::{FileStorage, LockError, Storage};

const DIRECTORY: &str = "ESKER_TEST_LOCK_DIRECTORY";

/// Starts this test binary again, to run `child_of_the_lock_test` alone.
fn child(directory: &Path) -> (Child, String) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child_of_the_lock_test", "--nocapture", "--quiet"])
        .env(DIRECTORY, directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let verdict = lines.find_map(|line| line.unwrap().split_once("verdict: ").map(|(_, verdict)| verdict.to_owned()));
    // What the child may say after this is read to its end, lest it find its output closed.
    std::thread::spawn(move || lines.for_each(drop));
    (child, verdict.expect("a verdict from the child"))
}

/// Does nothing unless it is the child: then it takes the lock, says how that went, and waits for its input to end.
#[test]
fn child_of_the_lock_test() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let result = FileStorage::open(directory).unwrap().lock("lock");
    let verdict = match &result {
        Ok(_) => "taken",
        Err(LockError::Held) => "held",
        Err(_) => "failed",
    };
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "\nverdict: {verdict}").unwrap();
    stdout.flush().unwrap();
    std::io::stdin().lines().for_each(drop);
}

#[test]
fn the_lock_excludes_other_processes_and_dies_with_its_holder() {
    let scratch = tempfile::tempdir().unwrap();
    let storage = FileStorage::open(scratch.path()).unwrap();

    let lock = storage.lock("lock").unwrap();
    let (mut second, verdict) = child(scratch.path());
    assert_eq!(verdict, "held");
    drop(second.stdin.take());
    second.wait().unwrap();
    drop(lock);

    let (mut second, verdict) = child(scratch.path());
    assert_eq!(verdict, "taken");
    assert!(matches!(storage.lock("lock"), Err(LockError::Held)));
    second.kill().unwrap();
    second.wait().unwrap();
    assert!(storage.lock("lock").is_ok());
}
