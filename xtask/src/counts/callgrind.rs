//! What the counted program says, and what callgrind writes.
//!
//! Refuses to guess: a file whose parts do not add up to the total that it states is an error.

use std::path::Path;

/// What the program printed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// The processor features that it chooses its code by.
    pub(super) features: String,
    /// In the order in which they were run, which is that of callgrind's files.
    pub(super) paths: Vec<HotPath>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct HotPath {
    pub(super) name: String,
    pub(super) operations: u64,
}

impl Report {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut report = Self::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            match (words.next(), words.next(), words.next()) {
                (Some("features"), Some(features), None) => report.features = features.to_owned(),
                (Some("path"), Some(name), Some(operations)) => {
                    let operations = operations.parse().ok().filter(|operations| *operations > 0);
                    let operations = operations.ok_or_else(|| format!("not a number of operations: `{line}`"))?;
                    report.paths.push(HotPath { name: name.to_owned(), operations });
                }
                // Valgrind says something now and then.
                _ => {}
            }
        }
        Ok(report)
    }
}

/// Instructions, by where they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    /// In the program, into which Rust's standard library is linked.
    pub(super) program: u64,
    /// In shared libraries, of which the C library is all that matters.
    pub(super) library: u64,
}

/// Sums up what callgrind wrote to one file, uncompressed.
///
/// The file names objects by `ob=`; each line of a position and a number is a cost of the object named last, but the one
/// after a `calls=`, which is what the called function cost and is counted there.
pub(super) fn sum(text: &str, program: &str) -> Result<Sum, String> {
    let mut sum = Sum::default();
    let mut total = None;
    let mut is_program = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(object) = line.strip_prefix("ob=") {
            is_program = Path::new(object).file_name().is_some_and(|name| name == program);
        } else if line.starts_with("calls=") {
            lines.next();
        } else if let Some(stated) = line.strip_prefix("totals: ") {
            total = Some(stated.parse::<u64>().map_err(|_| format!("not a total: `{line}`"))?);
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok());
            let cost = cost.ok_or_else(|| format!("not a cost: `{line}`"))?;
            *(if is_program { &mut sum.program } else { &mut sum.library }) += cost;
        }
    }
    match total {
        Some(total) if total == sum.program + sum.library => Ok(sum),
        total => Err(format!("callgrind states a total of {total:?}, but its parts are {sum:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{HotPath, Report, Sum, sum};

    const DUMP: &str = "\
# callgrind format
version: 1
part: 2
positions: line
events: Ir
summary: 157

ob=/somewhere/target/release/counts
fl=/somewhere/main.rs
fn=counts::seal
50 20
";

    #[test]
    fn costs_belong_to_the_object_named_last_and_calls_are_counted_where_they_went() {
        let dump = DUMP.to_owned()
            + "cob=/lib/libc.so.6\ncfi=???\ncfn=memcpy\ncalls=1 0 \n51 37\n52 100\n\n"
            + "ob=/lib/libc.so.6\nfl=???\nfn=memcpy\n0 37\n\ntotals: 157\n";
        assert_eq!(sum(&dump, "counts"), Ok(Sum { program: 120, library: 37 }));
        assert_eq!(sum(&dump, "other"), Ok(Sum { program: 0, library: 157 }));
    }

    #[test]
    fn what_does_not_add_up_is_an_error() {
        let dump = DUMP.to_owned();
        assert!(sum(&dump, "counts").is_err(), "no total");
        assert!(sum(&format!("{dump}totals: 21\n"), "counts").is_err());
        assert!(sum(&format!("{dump}totals: twenty\n"), "counts").is_err());
        assert!(sum(&format!("{dump}51 x\ntotals: 20\n"), "counts").is_err());
        assert!(sum(&format!("{dump}totals: 20\n"), "counts").is_ok());
        // Relative positions are those of a compressed file, whose costs would be missed.
        assert!(sum(&format!("{dump}+3 5\ntotals: 25\n"), "counts").is_err());
    }

    #[test]
    fn report_is_read_between_the_lines_of_valgrind() {
        let text = "==7== brk segment overflow\nfeatures sse4.1+avx2\npath a/b 10\nfree text\npath c 2\n";
        let path = |name: &str, operations| HotPath { name: name.to_owned(), operations };
        let expected = Report { features: "sse4.1+avx2".into(), paths: vec![path("a/b", 10), path("c", 2)] };
        assert_eq!(Report::parse(text), Ok(expected));
        assert!(Report::parse("path a 0\n").is_err());
        assert!(Report::parse("path a many\n").is_err());
    }
}
