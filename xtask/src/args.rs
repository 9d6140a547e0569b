//! The command line: flags, values and positional arguments, taken one by one until nothing may be left.
//!
//! Refuses to guess: what no command has asked for is an error.

use std::str::FromStr;

use crate::run::Failure;

/// What is left of the command line.
#[derive(Debug)]
pub(crate) struct Args {
    left: Vec<String>,
    /// What follows `--`.
    rest: Vec<String>,
}

impl Args {
    pub(crate) fn from_env() -> Self {
        Self::new(std::env::args().skip(1))
    }

    pub(crate) fn new(args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut left: Vec<String> = args.into_iter().map(Into::into).collect();
        let rest = match left.iter().position(|arg| arg == "--") {
            Some(at) => left.split_off(at).split_off(1),
            None => Vec::new(),
        };
        Self { left, rest }
    }

    /// Whether `name` is given.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let at = self.left.iter().position(|arg| arg == name);
        at.map(|at| self.left.remove(at)).is_some()
    }

    /// The value of `--name VALUE` or `--name=VALUE`.
    pub(crate) fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Failure> {
        let prefix = format!("{name}=");
        let Some(at) = self.left.iter().position(|arg| arg == name || arg.starts_with(&prefix)) else {
            return Ok(None);
        };
        let found = self.left.remove(at);
        let text = match found.strip_prefix(&prefix) {
            Some(text) => text.to_owned(),
            None if at < self.left.len() => self.left.remove(at),
            None => return Err(Failure::Usage(format!("{name} needs a value"))),
        };
        let value = text.parse().map_err(|_| Failure::Usage(format!("{name} cannot be `{text}`")))?;
        Ok(Some(value))
    }

    /// The next argument that is not an option. To be asked for after the options, whose values it could not tell.
    pub(crate) fn positional(&mut self) -> Option<String> {
        let at = self.left.iter().position(|arg| !arg.starts_with('-'))?;
        Some(self.left.remove(at))
    }

    /// What follows `--`.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        std::mem::take(&mut self.rest)
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        match self.left.iter().chain(&self.rest).next() {
            None => Ok(()),
            Some(arg) => Err(Failure::Usage(format!("`{arg}` means nothing here"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Args;

    #[test]
    fn options_are_taken_wherever_they_stand() {
        let mut args = Args::new(["crash", "--runs", "5", "--seed=7", "--list", "--", "--quick"]);
        assert_eq!(args.positional().as_deref(), Some("crash"));
        assert_eq!(args.value::<u64>("--seed").unwrap(), Some(7));
        assert_eq!(args.value::<u64>("--runs").unwrap(), Some(5));
        assert!(args.flag("--list") && !args.flag("--list"));
        assert_eq!(args.rest(), ["--quick"]);
        args.finish().unwrap();
    }

    #[test]
    fn what_nobody_asked_for_is_refused() {
        for left in [&["--lst"][..], &["extra"], &["--", "extra"]] {
            assert!(Args::new(left.iter().copied()).finish().is_err(), "{left:?}");
        }
    }

    #[test]
    fn missing_and_unreadable_values_are_refused() {
        for left in [&["--runs"][..], &["--runs", "many"], &["--runs="]] {
            assert!(Args::new(left.iter().copied()).value::<u64>("--runs").is_err(), "{left:?}");
        }
    }
}
