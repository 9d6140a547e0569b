//! `cargo xtask tidy`: rules of the project that neither rustc nor clippy knows.
//!
//! Owns the list of checks and how findings are told. Every check is a plain function from what it looks at to findings,
//! so that each is tested on a sample that breaks it. Refuses to repair anything.
//!
//! # Rules
//!
//! - **T1 (direction):** no layer depends on one above it, not even for its tests (`graph`).
//! - **T2 (packages):** members share the lints, and describe and license themselves (`packages`).
//! - **T3 (safety):** `unsafe` is in the engine and in the page table alone, and every use says which invariant makes it sound
//!   (`sources`).
//! - **T4 (orderings):** every memory ordering of the latch-free crates says what it pairs with (`sources`).
//! - **T5 (sync shim):** the latch-free crates take threads, locks and atomics from their `sync` modules, or loom would not see
//!   them.
//! - **T6 (modules):** every module says what it owns; no `mod.rs` (`sources`).
//! - **T7 (attic):** no leftovers, no paths of somebody's machine, no other registry than the public one (`text`).
//! - **T8 (format):** the tables of FORMAT.md and the layout constants say the same (`format_spec`).

mod code;
mod format_spec;
mod graph;
mod packages;
mod sources;
mod text;

use std::fmt;
use std::fs;
use std::path::Path;

use crate::args::Args;
use crate::metadata::members;
use crate::run::{Failure, root};

/// One violation and its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// Path within the workspace, or the name of a package.
    place: String,
    /// Line number from 1; 0 if the finding is about the whole.
    line: usize,
    what: String,
}

impl Finding {
    fn whole(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), line: 0, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, line, what } = self;
        if *line == 0 { write!(f, "{place}: {what}") } else { write!(f, "{place}:{line}: {what}") }
    }
}

/// A text file of the workspace.
#[derive(Debug, Clone, Default)]
struct Source {
    /// Relative to the workspace, with forward slashes.
    path: String,
    text: String,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    args.finish()?;
    check()
}

pub(crate) fn check() -> Result<(), Failure> {
    let members = members()?;
    let sources = sources_below(&root()).map_err(Failure::failed)?;
    let mut findings = graph::check(&members);
    findings.extend(packages::check(&members, &sources, &root()));
    findings.extend(sources::check(&sources));
    findings.extend(text::check(&sources));
    findings.extend(format_spec::check(&sources));
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("tidy: {} packages and {} files are in order", members.len(), sources.len());
            Ok(())
        }
        count => Err(Failure::failed(format!("tidy: {count} findings"))),
    }
}

/// Extensions and names of the files that are read.
const TEXT: &[&str] = &["rs", "toml", "lock", "md", "yml", "yaml", "sh", "supp", "txt"];
/// Folders that hold no sources.
const SKIPPED: &[&str] = &["target", "corpus", "artifacts", "coverage", ".git", "demo"];

fn sources_below(root: &Path) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let at = |error: std::io::Error| format!("{}: {error}", folder.display());
        for entry in fs::read_dir(&folder).map_err(at)? {
            let entry = entry.map_err(at)?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if entry.file_type().map_err(at)?.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    folders.push(path);
                }
                continue;
            }
            let text = path.extension().is_some_and(|extension| TEXT.iter().any(|text| extension == *text));
            if !text && !path.ends_with(".ci/run") && !name.starts_with("LICENSE") {
                continue;
            }
            let relative = path.strip_prefix(root).expect("the walk began at the root");
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            sources.push(Source { path: relative.to_string_lossy().replace('\\', "/"), text });
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::{root, sources_below};

    #[test]
    fn walk_finds_sources_and_leaves_build_output_alone() {
        let sources = sources_below(&root()).unwrap();
        let has = |path: &str| sources.iter().any(|source| source.path == path);
        assert!(has("Cargo.toml") && has("xtask/src/tidy.rs") && has(".cargo/config.toml"));
        assert!(sources.iter().all(|source| !source.path.starts_with("target/")));
    }
}
