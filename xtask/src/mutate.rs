//! `cargo xtask loom --mutate`: weakens each ordering of the engine, one at a time, and expects a model to fail.
//!
//! Works on a copy of the sources in the target folder. What no model misses is listed; the run fails if it is not on the
//! list of those that have an argument instead, or if one on that list is missed after all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{Failure, cargo, hear, root, rustflags, target_dir};

/// The crate whose orderings are weakened.
const CRATE: &str = "crates/esker-iobufs/src";
/// Orderings whose weakening no model can notice, by the line of code without blanks, with the reason.
const ARGUED: &[(&str, &str, &str)] = &[];

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

pub(crate) fn run(preemptions: u32) -> Result<(), Failure> {
    let tree = target_dir("loom-mutants").join("tree");
    copy_sources(&tree)?;
    let mut mutants = Vec::new();
    for file in sources(&root().join(CRATE))? {
        let text = read(&file)?;
        let name = file.strip_prefix(root()).expect("it was found there").to_owned();
        mutants.extend(mutants_of(&name, &text));
    }
    if mutants.is_empty() {
        return Err(Failure::failed("not one ordering was found"));
    }
    println!("{} weaker orderings", mutants.len());
    let mut survivors = Vec::new();
    for (n, mutant) in mutants.iter().enumerate() {
        let original = read(&root().join(&mutant.file))?;
        let line = original.lines().nth(mutant.line - 1).unwrap_or_default().trim();
        write(&tree.join(&mutant.file), &weakened(&original, mutant))?;
        let models = failing_models(&tree, preemptions)?;
        write(&tree.join(&mutant.file), &original)?;
        let argued = ARGUED.iter().find(|(code, from, _)| line.contains(code) && mutant.from == *from);
        let verdict = match (models.is_empty(), argued) {
            (false, _) => models.join(", "),
            (true, Some((.., reason))) => format!("no model; {reason}"),
            (true, None) => {
                survivors.push(mutant);
                "NO MODEL FAILS".to_owned()
            }
        };
        let place = format!("{}:{}", mutant.file.display(), mutant.line);
        println!("{:>3}/{} {place} {} -> {}: {verdict}", n + 1, mutants.len(), mutant.from, mutant.to);
    }
    if survivors.is_empty() {
        println!("loom: each of {} weaker orderings makes a model fail, or has an argument", mutants.len());
        return Ok(());
    }
    Err(Failure::failed(format!("{} weaker orderings are noticed by no model", survivors.len())))
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

/// The models that fail in the copy. One that cannot be built is an error.
fn failing_models(tree: &Path, preemptions: u32) -> Result<Vec<String>, Failure> {
    let mut command =
        cargo(&["test", "--release", "--quiet", "--locked", "-p", "esker-iobufs", "--lib", "--", "loom_"]);
    command.current_dir(tree);
    command.env("LOOM_MAX_PREEMPTIONS", preemptions.to_string());
    command.env("CARGO_TARGET_DIR", target_dir("loom-mutants").join("built"));
    rustflags(&mut command, "--cfg loom");
    let said = hear(&mut command)?;
    let failed = said.text.lines().filter_map(|line| line.strip_prefix("---- ")?.strip_suffix(" stdout ----"));
    let models: Vec<_> = failed.map(|name| name.rsplit("::").next().unwrap_or(name).to_owned()).collect();
    if !said.success && models.is_empty() {
        return Err(Failure::failed(format!("the copy could not be tested:\n{}", said.text)));
    }
    Ok(models)
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
        if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
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
    use super::{mutants_of, weakened};
    use std::path::Path;

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
