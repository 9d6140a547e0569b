//! The baseline: what was counted once, on which machine, and what a later count is worth beside it.
//!
//! Owns its text, which is kept in the repository, and the tolerance. Refuses to compare what cannot be compared: code of
//! another compiler or for another processor, and a C library other than the baseline's.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::callgrind::Sum;

/// A path is worse if it takes more than this part more instructions.
const TOLERANCE: f64 = 0.03;
/// And, below the program, more than this many: where an allocator's chunks happen to lie makes such a difference.
const LIBRARY_SLACK: f64 = 5.0;

const COMMENT: &str = "\
# Instructions that one operation of each hot path takes: in the program, and below it in the C library.
# Written by `cargo xtask counts --bless`; benches/README.md says how to read it.
";

/// What was counted, and where.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Baseline {
    pub(super) machine: Machine,
    /// Sorted by path.
    pub(super) counts: Vec<Count>,
}

/// What decides which code is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) rustc: String,
    /// The architecture and the features that valgrind's processor has.
    pub(super) processor: String,
    /// The C library, and the valgrind that it believes to be a processor.
    pub(super) library: String,
}

/// Instructions of one operation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Count {
    pub(super) path: String,
    pub(super) program: f64,
    pub(super) library: f64,
}

/// One path of two counts.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) path: String,
    pub(super) verdict: Verdict,
    before: Option<Count>,
    now: Option<Count>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As many as before, or not comparable.
    Same,
    /// Fewer than the tolerance explains.
    Better,
    /// More than the tolerance allows.
    Worse,
    /// Only one of the two knows the path.
    Unpaired,
}

impl Count {
    /// Rounded to what is written down, so that a count compares with itself as equal.
    pub(super) fn of(path: String, sum: Sum, operations: u64) -> Self {
        let each = |instructions: u64| (instructions as f64 / operations as f64 * 10.0).round() / 10.0;
        Self { path, program: each(sum.program), library: each(sum.library) }
    }
}

impl Machine {
    /// Whether the code of the program is the same for the same sources.
    fn same_program(&self, other: &Self) -> bool {
        self.rustc == other.rustc && self.processor == other.processor
    }

    fn same_library(&self, other: &Self) -> bool {
        self.same_program(other) && self.library == other.library
    }

    /// What differs from the baseline's machine, and what follows.
    pub(super) fn differences(&self, now: &Self) -> Vec<String> {
        let pairs = [
            (&self.rustc, &now.rustc, "nothing was compared"),
            (&self.processor, &now.processor, "nothing was compared"),
            (&self.library, &now.library, "the C library's part was not compared"),
        ];
        let differing = pairs.into_iter().filter(|(before, now, _)| before != now);
        differing.map(|(before, now, so)| format!("the baseline is of {before}, this is {now}: {so}")).collect()
    }
}

impl Baseline {
    /// Every path that either of the two knows, with what became of it.
    pub(super) fn compare(&self, now: &Self) -> Vec<Row> {
        let mut pairs: BTreeMap<&str, (Option<&Count>, Option<&Count>)> = BTreeMap::new();
        for count in &self.counts {
            pairs.entry(&count.path).or_default().0 = Some(count);
        }
        for count in &now.counts {
            pairs.entry(&count.path).or_default().1 = Some(count);
        }
        let row = |(path, (before, after)): (&str, (Option<&Count>, Option<&Count>))| Row {
            path: path.to_owned(),
            verdict: match (before, after) {
                (Some(before), Some(after)) => self.verdict(&now.machine, before, after),
                _ => Verdict::Unpaired,
            },
            before: before.cloned(),
            now: after.cloned(),
        };
        pairs.into_iter().map(row).collect()
    }

    fn verdict(&self, machine: &Machine, before: &Count, now: &Count) -> Verdict {
        let mut verdicts = Vec::new();
        if self.machine.same_program(machine) {
            verdicts.push(judge(before.program, now.program, 0.0));
        }
        if self.machine.same_library(machine) {
            verdicts.push(judge(before.library, now.library, LIBRARY_SLACK));
        }
        let of = |verdict| verdicts.contains(&verdict).then_some(verdict);
        of(Verdict::Worse).or(of(Verdict::Better)).unwrap_or(Verdict::Same)
    }
}

fn judge(before: f64, now: f64, slack: f64) -> Verdict {
    let allowed = (before * TOLERANCE).max(slack);
    if now > before + allowed {
        Verdict::Worse
    } else if now < before - allowed {
        Verdict::Better
    } else {
        Verdict::Same
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { rustc, processor, library } = &self.machine;
        write!(f, "{COMMENT}compiler: {rustc}\nprocessor: {processor}\nlibrary: {library}\n")?;
        let width = self.counts.iter().map(|count| count.path.len()).max().unwrap_or(0);
        for Count { path, program, library } in &self.counts {
            writeln!(f, "{path:<width$} {program:>10.1} {library:>10.1}")?;
        }
        Ok(())
    }
}

impl FromStr for Baseline {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut baseline = Self { machine: Machine::default(), counts: Vec::new() };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            match line.split_once(": ") {
                Some(("compiler", rustc)) => baseline.machine.rustc = rustc.to_owned(),
                Some(("processor", processor)) => baseline.machine.processor = processor.to_owned(),
                Some(("library", library)) => baseline.machine.library = library.to_owned(),
                _ => baseline.counts.push(count(line).ok_or_else(|| format!("not a count: `{line}`"))?),
            }
        }
        Ok(baseline)
    }
}

/// A line of the baseline.
fn count(line: &str) -> Option<Count> {
    let mut words = line.split_whitespace();
    let path = words.next()?.to_owned();
    let count = Count { path, program: words.next()?.parse().ok()?, library: words.next()?.parse().ok()? };
    words.next().is_none().then_some(count)
}

/// The rows, for people.
pub(super) fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.path.len()).max().unwrap_or(0);
    let head = ["instructions", "baseline", "change", "in libc", "baseline", "change"];
    let mut text = format!("{:<width$}", "");
    for name in head {
        text += &format!(" {name:>12}");
    }
    for row in rows {
        let pair = |of: fn(&Count) -> f64| [row.now.as_ref().map(of), row.before.as_ref().map(of)];
        text += &format!("\n{:<width$}", row.path);
        for [now, before] in [pair(|count| count.program), pair(|count| count.library)] {
            let shown = |count: Option<f64>| count.map_or_else(|| "-".to_owned(), |count| format!("{count:.1}"));
            text += &format!(" {:>12} {:>12} {:>12}", shown(now), shown(before), change(before, now));
        }
        text += match row.verdict {
            Verdict::Same => "",
            Verdict::Better => "  fewer",
            Verdict::Worse => "  MORE",
            Verdict::Unpaired => "  only one of the two",
        };
    }
    text
}

fn change(before: Option<f64>, now: Option<f64>) -> String {
    match (before, now) {
        (Some(before), Some(now)) if before == now => "0 %".to_owned(),
        (Some(before), Some(now)) if before > 0.0 => format!("{:+.1} %", (now / before - 1.0) * 100.0),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Baseline, Count, Machine, Sum, Verdict, table};

    fn baseline(counts: &[(&str, f64, f64)]) -> Baseline {
        let count = |&(path, program, library): &(&str, f64, f64)| Count { path: path.into(), program, library };
        let machine = Machine {
            rustc: "rustc 1.2.3 (abc 2020-01-01)".into(),
            processor: "x86_64 with avx2".into(),
            library: "glibc 2.1 under valgrind-3".into(),
        };
        Baseline { machine, counts: counts.iter().map(count).collect() }
    }

    fn verdict(before: (f64, f64), now: (f64, f64), changed: impl FnOnce(&mut Machine)) -> Verdict {
        let mut counted = baseline(&[("a", now.0, now.1)]);
        changed(&mut counted.machine);
        baseline(&[("a", before.0, before.1)]).compare(&counted)[0].verdict
    }

    #[test]
    fn text_of_a_baseline_is_read_back() {
        let written = baseline(&[("format/seal/64", 201.0, 0.0), ("log/append+x/256", 550.8, 593.3)]);
        assert_eq!(written.to_string().parse(), Ok(written));
        assert!("a 1.0".parse::<Baseline>().is_err());
        assert!("a 1.0 2.0 3.0".parse::<Baseline>().is_err());
    }

    #[test]
    fn counts_are_rounded_to_what_is_written() {
        let count = Count::of("a".into(), Sum { program: 123_456, library: 1 }, 1000);
        assert_eq!((count.program, count.library), (123.5, 0.0));
    }

    #[test]
    fn tolerance_is_a_part_of_the_program_and_some_instructions_of_the_library() {
        let same = |_: &mut Machine| ();
        for (before, now, expected) in [
            ((100.0, 0.0), (100.0, 0.0), Verdict::Same),
            ((100.0, 0.0), (103.0, 0.0), Verdict::Same),
            ((100.0, 0.0), (103.1, 0.0), Verdict::Worse),
            ((100.0, 0.0), (96.9, 0.0), Verdict::Better),
            ((10.0, 0.0), (11.0, 0.0), Verdict::Worse),
            ((100.0, 10.0), (100.0, 15.0), Verdict::Same),
            ((100.0, 10.0), (100.0, 15.1), Verdict::Worse),
            ((100.0, 1000.0), (100.0, 1031.0), Verdict::Worse),
            ((100.0, 10.0), (90.0, 20.0), Verdict::Worse),
        ] {
            assert_eq!(verdict(before, now, same), expected, "{before:?} -> {now:?}");
        }
    }

    #[test]
    fn another_machine_is_not_compared() {
        let twice = |changed: fn(&mut Machine)| verdict((100.0, 100.0), (200.0, 200.0), changed);
        assert_eq!(twice(|_| ()), Verdict::Worse);
        assert_eq!(twice(|machine| machine.rustc.push('x')), Verdict::Same);
        assert_eq!(twice(|machine| machine.processor.push('x')), Verdict::Same);
        // The program's part still is.
        assert_eq!(twice(|machine| machine.library.push('x')), Verdict::Worse);
        let library = verdict((100.0, 100.0), (100.0, 200.0), |machine| machine.library.push('x'));
        assert_eq!(library, Verdict::Same);
    }

    #[test]
    fn paths_without_a_partner_are_told_on_any_machine() {
        let before = baseline(&[("a", 1.0, 0.0), ("b", 1.0, 0.0)]);
        let mut now = baseline(&[("b", 1.0, 0.0), ("c", 1.0, 0.0)]);
        now.machine.rustc.push('x');
        let rows = before.compare(&now);
        let verdicts: Vec<_> = rows.iter().map(|row| (row.path.as_str(), row.verdict)).collect();
        assert_eq!(verdicts, [("a", Verdict::Unpaired), ("b", Verdict::Same), ("c", Verdict::Unpaired)]);
        assert_eq!(before.machine.differences(&now.machine).len(), 1);
        assert_eq!(table(&rows).lines().count(), 4);
    }
}
