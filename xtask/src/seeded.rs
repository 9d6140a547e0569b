//! Programs that run one history for each seed, and the proof that they would find a missing safety measure.
//!
//! A failing run names its seed. Refuses to call a sabotage survived: if no run fails although a measure was removed, the
//! tests are blind to it, and that is a failure.

use std::process::Command;

use crate::args::Args;
use crate::run::{Failure, Said, listen, rustflags, target_dir};

/// What the programs print before the seed of a run that failed.
const FAILING: &str = "failing seed: ";

/// A program that runs histories.
pub(crate) struct Seeded {
    /// The command's name.
    pub(crate) name: &'static str,
    /// What a failure means.
    pub(crate) broken: &'static str,
    /// Makes the command, without flags for rustc.
    pub(crate) command: fn() -> Command,
    /// Flags for rustc, and the folder for what is built with them, where there are any.
    pub(crate) flags: Option<(&'static str, &'static str)>,
    /// The safety measures that can be removed with `--cfg esker_sabotage="NAME"`.
    pub(crate) sabotages: &'static [&'static str],
    pub(crate) runs: u64,
    /// Arguments with a value, and without one, that are handed on.
    pub(crate) options: &'static [&'static str],
    pub(crate) switches: &'static [&'static str],
}

impl Seeded {
    pub(crate) fn run(&self, mut args: Args) -> Result<(), Failure> {
        let seed = args.value("--seed")?.unwrap_or(1);
        let runs = args.value("--runs")?.unwrap_or(self.runs);
        let sabotage: Option<String> = args.value("--sabotage")?;
        let mut rest = Vec::new();
        for name in self.options {
            if let Some(value) = args.value::<String>(name)? {
                rest.extend([(*name).to_owned(), value]);
            }
        }
        rest.extend(self.switches.iter().filter(|name| args.flag(name)).map(|name| (*name).to_owned()));
        args.finish()?;
        match sabotage.as_deref() {
            None => self.holds(seed, runs, &rest),
            Some("all") => self.all_bite(seed, runs),
            Some(name) if self.sabotages.contains(&name) => self.bites(name, seed, runs, &rest),
            Some(name) => Err(Failure::Usage(format!(
                "there is no sabotage `{name}`, only {} and all",
                self.sabotages.join(", ")
            ))),
        }
    }

    /// All runs have to hold.
    pub(crate) fn check(&self, seed: u64, runs: u64) -> Result<(), Failure> {
        self.holds(seed, runs, &[])
    }

    fn holds(&self, seed: u64, runs: u64, rest: &[String]) -> Result<(), Failure> {
        let said = self.simulate(None, seed, runs, rest)?;
        if said.success { Ok(()) } else { Err(Failure::failed(self.broken)) }
    }

    /// Each safety measure is missed once it is gone.
    pub(crate) fn all_bite(&self, seed: u64, runs: u64) -> Result<(), Failure> {
        self.sabotages.iter().try_for_each(|name| self.bites(name, seed, runs, &[]))
    }

    /// A run has to fail once the safety measure is gone.
    fn bites(&self, sabotage: &str, seed: u64, runs: u64, rest: &[String]) -> Result<(), Failure> {
        let said = self.simulate(Some(sabotage), seed, runs, rest)?;
        if said.success {
            return Err(Failure::failed(format!(
                "{runs} runs without `{sabotage}` and none failed: the tests are blind to it"
            )));
        }
        let failing = failing_seed(&said.text).ok_or_else(|| {
            Failure::failed(format!("the runs without `{sabotage}` ended without naming a failing seed"))
        })?;
        println!(
            "{}: without `{sabotage}`, run {} of {runs} failed (seed {failing})",
            self.name,
            failing.wrapping_sub(seed) + 1
        );
        Ok(())
    }

    fn simulate(&self, sabotage: Option<&str>, seed: u64, runs: u64, rest: &[String]) -> Result<Said, Failure> {
        let mut command = (self.command)();
        command.args(["--seed", &seed.to_string(), "--runs", &runs.to_string()]).args(rest);
        let (mut flags, mut folder) =
            self.flags.map_or_else(Default::default, |(flags, folder)| (flags.to_owned(), folder.to_owned()));
        if let Some(name) = sabotage {
            flags += &format!(" --cfg esker_sabotage=\"{name}\"");
            folder += &format!("sabotage-{name}");
        }
        if !flags.is_empty() {
            rustflags(&mut command, flags.trim_start());
            command.env("CARGO_TARGET_DIR", target_dir(&folder));
        }
        listen(&mut command)
    }
}

fn failing_seed(text: &str) -> Option<u64> {
    let after = text.lines().find_map(|line| Some(line.split_once(FAILING)?.1))?;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::failing_seed;

    #[test]
    fn failing_seed_is_read_from_what_was_said() {
        assert_eq!(failing_seed("run 1 ok\nfailing seed: 1234 (lost lsn 5)\n"), Some(1234));
        assert_eq!(failing_seed("error[E0432]: unresolved import\n"), None);
        assert_eq!(failing_seed("failing seed: \n"), None);
    }
}
