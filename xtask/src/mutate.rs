//! `cargo xtask loom --mutate`: weakens each ordering of the latch-free crates, one at a time, and expects a model of that
//! crate to fail.
//!
//! Works on a copy of the sources in the target folder. Each model runs in a process of its own, because one that fails may
//! take its process with it; the quickest come first, the first that fails ends the matter, and all of them together have a
//! bounded time. What no model misses is listed; the run fails if it is not on the list of those that have an argument
//! instead, or if one on that list is missed after all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::loom::LATCH_FREE;
use crate::run::{Failure, cargo, hear, root, rustflags, target_dir};

/// Orderings whose weakening no model can notice, by what stands in their line of code, with the reason.
const ARGUED: &[(&str, &str, &str)] = &[];
/// How long the models together may take for one weakening.
const MUTANT_SECONDS_MAX: u64 = 300;

/// One ordering, made weaker.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mutant {
    file: PathBuf,
    /// From 1.
    line: usize,
    /// Where in the line the ordering's name begins.
    column: usize,
    from: &'static str,
    to: &'static str,
}

/// What the models said of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// This model failed.
    Fails(String),
    /// Every model held.
    AllHold,
    /// No model has failed in the time there is.
    OutOfTime,
}

/// A row of the table at the end.
struct Row {
    place: String,
    change: String,
    said: String,
    took: Duration,
}

/// Weakens the orderings of this crate, or of all.
pub(crate) fn run(package: Option<&str>, preemptions: u32) -> Result<(), Failure> {
    let began = Instant::now();
    let packages = chosen(package)?;
    let tree = target_dir("loom-mutants").join("tree");
    copy_sources(&tree)?;
    let (mut rows, mut faults) = (Vec::new(), 0);
    for name in packages {
        faults += mutate(name, &tree, preemptions, &mut rows)?;
    }
    println!("\nordering                               weakened             the model that fails");
    rows.iter().for_each(|row| println!("{}", row.line()));
    println!("{} s in all", began.elapsed().as_secs());
    if faults == 0 {
        println!("loom: each of {} weaker orderings makes a model fail, or has an argument", rows.len());
        return Ok(());
    }
    Err(Failure::failed(format!("{faults} weaker orderings are not as they should be")))
}

fn chosen(package: Option<&str>) -> Result<Vec<&'static str>, Failure> {
    let chosen: Vec<_> = LATCH_FREE.iter().copied().filter(|name| package.is_none_or(|it| it == *name)).collect();
    if chosen.is_empty() {
        return Err(Failure::Usage(format!("orderings are weakened in {}", LATCH_FREE.join(", "))));
    }
    Ok(chosen)
}

/// Weakens the orderings of one crate, adds a row for each, and says how many are not as they should be.
fn mutate(package: &str, tree: &Path, preemptions: u32, rows: &mut Vec<Row>) -> Result<u32, Failure> {
    let mut mutants = Vec::new();
    for file in sources(&tree.join("crates").join(package).join("src"))? {
        let text = read(&file)?;
        let name = file.strip_prefix(tree).expect("it was found there").to_owned();
        mutants.extend(mutants_of(&name, &text));
    }
    if mutants.is_empty() {
        return Err(Failure::failed(format!("not one ordering was found in {package}")));
    }
    let models = timed_models(&build(tree, package)?, preemptions)?;
    println!("{package}: {} weaker orderings, {} models", mutants.len(), models.len());
    let mut faults = 0;
    for (at, mutant) in mutants.iter().enumerate() {
        let begun = Instant::now();
        let file = tree.join(&mutant.file);
        let original = read(&file)?;
        let line = original.lines().nth(mutant.line - 1).unwrap_or_default().trim().to_owned();
        write(&file, &weakened(&original, mutant))?;
        let verdict = build(tree, package).map(|models_of| judge(&models_of, &models, preemptions));
        write(&file, &original)?;
        let (said, is_fault) = explain(&verdict??, argument(&line, mutant.from));
        faults += u32::from(is_fault);
        let row = Row {
            place: format!("{}:{}", mutant.file.strip_prefix("crates").unwrap_or(&mutant.file).display(), mutant.line),
            change: format!("{} -> {}", mutant.from, mutant.to),
            said,
            took: begun.elapsed(),
        };
        println!("{}/{} {}", at + 1, mutants.len(), row.line());
        rows.push(row);
    }
    Ok(faults)
}

impl Row {
    fn line(&self) -> String {
        format!("{:<38} {:<20} {} ({} s)", self.place, self.change, self.said, self.took.as_secs())
    }
}

/// The argument why no model can miss an ordering, if there is one.
fn argument(line: &str, from: &str) -> Option<&'static str> {
    ARGUED.iter().find(|(code, of, _)| line.contains(code) && from == *of).map(|(.., reason)| *reason)
}

/// A verdict in words, and whether it is other than it should be.
fn explain(verdict: &Verdict, argument: Option<&str>) -> (String, bool) {
    match (verdict, argument) {
        (Verdict::Fails(model), None) => (model.clone(), false),
        (Verdict::Fails(model), Some(_)) => (format!("{model}, AGAINST THE ARGUMENT"), true),
        (Verdict::AllHold, Some(reason)) => (format!("no model: {reason}"), false),
        (Verdict::AllHold, None) => ("NO MODEL FAILS".to_owned(), true),
        (Verdict::OutOfTime, _) => (format!("NO MODEL FAILS in {MUTANT_SECONDS_MAX} s"), true),
    }
}

/// What an ordering may be weakened to, each a loss of one of its halves.
fn weaker(name: &str) -> &'static [&'static str] {
    match name {
        "Acquire" | "Release" => &["Relaxed"],
        "AcqRel" => &["Acquire", "Release"],
        "SeqCst" => &["AcqRel"],
        _ => &[],
    }
}

fn mutants_of(file: &Path, text: &str) -> Vec<Mutant> {
    const PREFIX: &str = "Ordering::";
    let mut mutants = Vec::new();
    for (n, line) in text.lines().enumerate() {
        if line.trim_start() == "#[cfg(test)]" {
            break;
        }
        let code = line.split("//").next().unwrap_or_default();
        for (at, _) in code.match_indices(PREFIX) {
            let column = at + PREFIX.len();
            let Some(from) = ["Acquire", "Release", "AcqRel", "SeqCst"].into_iter().find(|name| {
                code[column..].strip_prefix(name).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
            }) else {
                continue;
            };
            mutants.extend(weaker(from).iter().map(|to| Mutant {
                file: file.to_owned(),
                line: n + 1,
                column,
                from,
                to,
            }));
        }
    }
    mutants
}

fn weakened(text: &str, mutant: &Mutant) -> String {
    let mut out = String::with_capacity(text.len());
    for (n, line) in text.lines().enumerate() {
        if n + 1 == mutant.line {
            let rest = &line[mutant.column + mutant.from.len()..];
            out.extend([&line[..mutant.column], mutant.to, rest]);
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}

/// Builds the models of the copy of a crate, and returns the program they are in.
fn build(tree: &Path, package: &str) -> Result<PathBuf, Failure> {
    let mut command = cargo(&["test", "--release", "--locked", "-p", package, "--lib", "--no-run"]);
    command.current_dir(tree).env("CARGO_TARGET_DIR", target_dir("loom-mutants").join("built"));
    rustflags(&mut command, "--cfg loom");
    let said = hear(&mut command)?;
    let program = said.text.lines().find_map(|line| {
        let (_, path) = line.trim().strip_prefix("Executable unittests")?.split_once('(')?;
        Some(PathBuf::from(path.strip_suffix(')')?))
    });
    match program {
        Some(program) if said.success => Ok(program),
        _ => Err(Failure::failed(format!("the copy could not be built:\n{}", said.text))),
    }
}

/// The models of the unchanged copy, all of which have to hold; those first that take the least time.
fn timed_models(program: &Path, preemptions: u32) -> Result<Vec<String>, Failure> {
    let listed = hear(Command::new(program).args(["loom_", "--list"]))?;
    let mut models = Vec::new();
    for model in listed.text.lines().filter_map(|line| line.strip_suffix(": test")) {
        let begun = Instant::now();
        let limit = Duration::from_secs(MUTANT_SECONDS_MAX);
        if holds(program, model, preemptions, limit)? != Some(true) {
            return Err(Failure::failed(format!("{model} does not even hold with every ordering in place")));
        }
        models.push((begun.elapsed(), model.to_owned()));
    }
    models.sort();
    Ok(models.into_iter().map(|(_, model)| model).collect())
}

fn judge(program: &Path, models: &[String], preemptions: u32) -> Result<Verdict, Failure> {
    let end = Instant::now() + Duration::from_secs(MUTANT_SECONDS_MAX);
    for model in models {
        match holds(program, model, preemptions, end.saturating_duration_since(Instant::now()))? {
            Some(true) => (),
            Some(false) => return Ok(Verdict::Fails(model.rsplit("::").next().unwrap_or(model).to_owned())),
            None => return Ok(Verdict::OutOfTime),
        }
    }
    Ok(Verdict::AllHold)
}

/// Whether a model holds; `None` if it takes longer than it may.
fn holds(program: &Path, model: &str, preemptions: u32, limit: Duration) -> Result<Option<bool>, Failure> {
    let mut command = Command::new(program);
    command.args([model, "--exact"]).env("LOOM_MAX_PREEMPTIONS", preemptions.to_string());
    // A failure is expected, and its trace takes longer than finding it.
    command.env("RUST_BACKTRACE", "0").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let cannot = |error: std::io::Error| Failure::failed(format!("cannot run {model}: {error}"));
    let begun = Instant::now();
    let mut child = command.spawn().map_err(cannot)?;
    loop {
        if let Some(status) = child.try_wait().map_err(cannot)? {
            return Ok(Some(status.success()));
        }
        if begun.elapsed() > limit {
            child.kill().map_err(cannot)?;
            child.wait().map_err(cannot)?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Copies what the crate and its dependencies are built from.
fn copy_sources(tree: &Path) -> Result<(), Failure> {
    let listed = hear(std::process::Command::new("git").args(["ls-files", "-z"]).current_dir(root()))?;
    if !listed.success {
        return Err(Failure::failed("`git ls-files` failed: this needs a checkout"));
    }
    let mut made = BTreeMap::new();
    for name in listed.text.split('\0').map(|name| name.trim_end_matches('\n')).filter(|name| !name.is_empty()) {
        let from = root().join(name);
        if !from.is_file() {
            continue;
        }
        let to = tree.join(name);
        if let Some(folder) = to.parent()
            && made.insert(folder.to_owned(), ()).is_none()
        {
            fs::create_dir_all(folder).map_err(|error| cannot("make", folder, &error))?;
        }
        let bytes = fs::read(&from).map_err(|error| cannot("read", &from, &error))?;
        // What is the same stays as old as it is, so that it is not built again.
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        fs::write(&to, bytes).map_err(|error| cannot("write", &to, &error))?;
    }
    Ok(())
}

/// The source files below a folder, without tests.
fn sources(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).map_err(|error| cannot("list", folder, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| cannot("list", folder, &error))?.path();
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
        if path.is_dir() && !is_test {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| cannot("read", path, &error))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| cannot("write", path, &error))
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot {what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{LATCH_FREE, Verdict, chosen, explain, mutants_of, weakened};
    use std::path::Path;

    #[test]
    fn only_a_failing_model_or_an_argument_is_as_it_should_be() {
        let fails = Verdict::Fails("loom_a".to_owned());
        for (verdict, argument, is_fault) in [
            (&fails, None, false),
            (&fails, Some("why"), true),
            (&Verdict::AllHold, None, true),
            (&Verdict::AllHold, Some("why"), false),
            (&Verdict::OutOfTime, None, true),
            (&Verdict::OutOfTime, Some("why"), true),
        ] {
            assert_eq!(explain(verdict, argument).1, is_fault, "{verdict:?}, {argument:?}");
        }
    }

    #[test]
    fn one_crate_is_chosen_by_its_name() {
        assert_eq!(chosen(Some("esker-iobufs")).unwrap(), ["esker-iobufs"]);
        assert_eq!(chosen(None).unwrap(), LATCH_FREE);
        assert!(chosen(Some("iobufs")).is_err());
    }

    #[test]
    fn each_ordering_is_weakened_by_itself() {
        let text = "a.store(1, Ordering::Release); // Ordering::SeqCst\nb.swap(Ordering::AcqRel, Ordering::Relaxed)\n\
                    #[cfg(test)]\nc(Ordering::Acquire)\n";
        let mutants = mutants_of(Path::new("x.rs"), text);
        let seen: Vec<_> = mutants.iter().map(|m| (m.line, m.from, m.to)).collect();
        assert_eq!(seen, [(1, "Release", "Relaxed"), (2, "AcqRel", "Acquire"), (2, "AcqRel", "Release")]);
        assert!(weakened(text, &mutants[0]).starts_with("a.store(1, Ordering::Relaxed); //"));
        assert!(weakened(text, &mutants[2]).contains("b.swap(Ordering::Release, Ordering::Relaxed)\n"));
    }
}
