//! How to crash-test a store of your own: a tiny one that keeps a list of words in one file, in a right version and in
//! three that are wrong.
//!
//! ```text
//! cargo run -p esker-sim --example tiny_store
//! ```
#![expect(clippy::print_stdout, reason = "an example that shows its findings")]

use std::io;

use esker_sim::{Faults, SimStorage, is_power_off};
use esker_storage::{Access, Storage};

/// What the author of the store forgot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    /// Overwrites the file instead of writing a new one and renaming it.
    WritesInPlace,
    /// Renames a file whose contents may not have reached the disk.
    NoFileSync,
    /// Does not make the rename durable.
    NoDirSync,
}

/// The store: nothing in it knows of the simulation, only of the trait.
struct Words<'a> {
    storage: &'a dyn Storage,
    mistake: Mistake,
    words: Vec<String>,
}

impl<'a> Words<'a> {
    fn open(storage: &'a dyn Storage, mistake: Mistake) -> io::Result<Self> {
        let mut words = Vec::new();
        match storage.open("words", Access::Read) {
            Ok(file) => {
                let mut bytes = vec![0; file.len()? as usize];
                file.read_exact_at(&mut bytes, 0)?;
                let text = String::from_utf8(bytes).map_err(io::Error::other)?;
                words.extend(text.lines().map(str::to_owned));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(Self { storage, mistake, words })
    }

    /// Adds a word, which is promised to be durable when this returns `Ok`.
    fn add(&mut self, word: &str) -> io::Result<()> {
        self.words.push(word.to_owned());
        let text: String = self.words.iter().map(|word| format!("{word}\n")).collect();
        if self.mistake == Mistake::WritesInPlace {
            let file = match self.storage.open("words", Access::ReadWrite) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.storage.create("words")?,
                file => file?,
            };
            file.set_len(0)?;
            file.write_all_at(text.as_bytes(), 0)?;
            file.sync_all()?;
            return self.storage.sync_dir();
        }
        // What an earlier, interrupted attempt left behind.
        match self.storage.remove("words.new") {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.storage.create("words.new")?;
        file.write_all_at(text.as_bytes(), 0)?;
        if self.mistake != Mistake::NoFileSync {
            file.sync_all()?;
        }
        self.storage.rename("words.new", "words")?;
        if self.mistake != Mistake::NoDirSync {
            self.storage.sync_dir()?;
        }
        Ok(())
    }
}

/// Long enough that a few of them do not fit into one sector.
fn word(number: usize) -> String {
    format!("word-{number}-{}", "x".repeat(200))
}

/// Adds words until the power fails, or there are enough. Returns how many were acknowledged.
fn work(disk: &SimStorage, mistake: Mistake) -> usize {
    let mut acknowledged = 0;
    let mut add_all = || -> io::Result<()> {
        let mut store = Words::open(disk, mistake)?;
        while acknowledged < 6 {
            store.add(&word(acknowledged))?;
            acknowledged += 1;
        }
        Ok(())
    };
    match add_all() {
        Err(error) if !is_power_off(&error) => panic!("the disk has no other faults: {error}"),
        _ => acknowledged,
    }
}

/// What is wrong with the store after a power cut, if anything: every acknowledged word must be there, in order, and
/// nothing else but at most the one word that was being added.
fn fault_after(left: &SimStorage, mistake: Mistake, acknowledged: usize) -> Option<String> {
    let found = match Words::open(left, mistake) {
        Ok(store) => store.words,
        Err(error) => return Some(format!("it cannot be opened: {error}")),
    };
    if found.len() < acknowledged {
        return Some(format!("{acknowledged} words were acknowledged and {} are left", found.len()));
    }
    if let Some(wrong) = (0..found.len()).find(|&number| number > acknowledged || found[number] != word(number)) {
        return Some(format!("word {wrong} is wrong, with {acknowledged} acknowledged"));
    }
    None
}

/// Cuts the power in the middle of every call, looks at many outcomes of each cut, and returns how many were tried and how
/// to repeat those that went wrong.
fn crash_test(mistake: Mistake) -> (u64, Vec<String>) {
    let whole = SimStorage::new(0, Faults::default());
    work(&whole, mistake);
    let (mut tried, mut wrong) = (0, Vec::new());
    for ops in 0..=whole.counts().changing() {
        let disk = SimStorage::new(0, Faults { crash_after_ops: Some(ops), ..Faults::default() });
        let acknowledged = work(&disk, mistake);
        for seed in 0..50 {
            tried += 1;
            if let Some(fault) = fault_after(&disk.after_crash(seed), mistake, acknowledged) {
                wrong.push(format!("power cut in call {ops}, seed {seed}: {fault}"));
            }
        }
    }
    (tried, wrong)
}

fn main() {
    for mistake in [Mistake::None, Mistake::WritesInPlace, Mistake::NoFileSync, Mistake::NoDirSync] {
        let (tried, wrong) = crash_test(mistake);
        println!("{mistake:?}: {} of {tried} outcomes are wrong", wrong.len());
        for fault in wrong.iter().take(3) {
            println!("  {fault}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_store_survives_every_power_cut() {
        let (tried, wrong) = crash_test(Mistake::None);
        assert!(tried > 1000, "{tried}");
        assert_eq!(wrong, [""; 0]);
    }

    #[test]
    fn every_mistake_is_found() {
        for mistake in [Mistake::WritesInPlace, Mistake::NoFileSync, Mistake::NoDirSync] {
            let (_, wrong) = crash_test(mistake);
            assert!(!wrong.is_empty(), "{mistake:?}");
        }
    }
}
