//! How to crash-test a store of your own: a tiny one that keeps a list of words in one file, in a right version and in
//! three that are wrong.
//!
//! ```text
//! cargo run -p esker-sim --example tiny_store                     tests all four
//! cargo run -p esker-sim --example tiny_store -- NoDirSync 7 12   one power cut again: mistake, call, seed
//! ```
//!
//! There are three steps, and only the second knows the store: run a workload and note what was acknowledged (`work`); say
//! what must be there after a power cut (`fault_after`); cut the power in every call, and look at what may be left, drawn
//! from seeds (`sampled`) or, where the workload is small, all of it (`listed`).
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

/// Adds words until the power fails, or there are `words`. Returns how many were acknowledged.
fn work(disk: &SimStorage, mistake: Mistake, words: usize) -> usize {
    let mut acknowledged = 0;
    let mut add_all = || -> io::Result<()> {
        let mut store = Words::open(disk, mistake)?;
        while acknowledged < words {
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

/// Runs the workload with the power failing in the middle of its call number `ops`.
fn cut_in(mistake: Mistake, words: usize, ops: u64) -> (SimStorage, usize) {
    let disk = SimStorage::new(0, Faults { crash_after_ops: Some(ops), ..Faults::default() });
    let acknowledged = work(&disk, mistake, words);
    (disk, acknowledged)
}

/// How many calls there are in which the power can fail.
fn calls(mistake: Mistake, words: usize) -> u64 {
    let disk = SimStorage::new(0, Faults::default());
    work(&disk, mistake, words);
    disk.counts().changing()
}

/// What a test has found: how many outcomes it tried, and how to repeat those that were wrong.
#[derive(Default)]
struct Findings {
    tried: u64,
    wrong: Vec<String>,
}

/// One possible outcome of a power cut in one call.
fn outcome(mistake: Mistake, ops: u64, seed: u64) -> Option<String> {
    let (disk, acknowledged) = cut_in(mistake, 6, ops);
    fault_after(&disk.after_crash(seed), mistake, acknowledged)
}

/// Cuts the power in every call, and draws outcomes of each cut.
fn sampled(mistake: Mistake) -> Findings {
    let mut findings = Findings::default();
    for (ops, seed) in (0..=calls(mistake, 6)).flat_map(|ops| (0..50).map(move |seed| (ops, seed))) {
        findings.tried += 1;
        if let Some(fault) = outcome(mistake, ops, seed) {
            findings.wrong.push(format!("-- {mistake:?} {ops} {seed}: {fault}"));
        }
    }
    findings
}

/// The same for a smaller workload, and all outcomes of each cut. Whatever this does not find is not there to be found.
fn listed(mistake: Mistake) -> Findings {
    let mut findings = Findings::default();
    for ops in 0..=calls(mistake, 3) {
        let (disk, acknowledged) = cut_in(mistake, 3, ops);
        for (n, left) in disk.crash_images().enumerate() {
            findings.tried += 1;
            if let Some(fault) = fault_after(&left, mistake, acknowledged) {
                findings.wrong.push(format!("image {n} of a power cut in call {ops}: {fault}"));
            }
        }
    }
    findings
}

const ALL: [Mistake; 4] = [Mistake::None, Mistake::WritesInPlace, Mistake::NoFileSync, Mistake::NoDirSync];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mistake, ops, seed] = &arguments[..] {
        let named = ALL.into_iter().find(|other| format!("{other:?}") == *mistake);
        let fault = outcome(named.ok_or("there is no such mistake")?, ops.parse()?, seed.parse()?);
        println!("{}", fault.unwrap_or_else(|| "nothing is wrong".to_owned()));
        return Ok(());
    }
    for mistake in ALL {
        let Findings { tried, wrong } = sampled(mistake);
        println!("{mistake:?}: {} of {tried} outcomes that were drawn are wrong", wrong.len());
        for fault in wrong.iter().take(3) {
            println!("  {fault}");
        }
        let Findings { tried, wrong } = listed(mistake);
        println!("{mistake:?}: {} of all {tried} outcomes of a smaller workload are wrong", wrong.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_store_survives_every_power_cut() {
        for (findings, tried_min) in [(sampled(Mistake::None), 1000), (listed(Mistake::None), 60)] {
            assert!(findings.tried > tried_min, "{}", findings.tried);
            assert_eq!(findings.wrong, [""; 0]);
        }
    }

    #[test]
    fn every_mistake_is_found_by_drawing_and_by_listing() {
        for mistake in [Mistake::WritesInPlace, Mistake::NoFileSync, Mistake::NoDirSync] {
            assert!(!sampled(mistake).wrong.is_empty(), "{mistake:?}");
            assert!(!listed(mistake).wrong.is_empty(), "{mistake:?}");
        }
    }

    #[test]
    fn what_is_printed_repeats_the_finding() {
        let wrong = sampled(Mistake::NoDirSync).wrong;
        let said: Vec<&str> = wrong[0].split([' ', ':']).collect();
        let again = outcome(Mistake::NoDirSync, said[2].parse().unwrap(), said[3].parse().unwrap());
        assert!(wrong[0].ends_with(&again.unwrap()), "{}", wrong[0]);
    }
}
