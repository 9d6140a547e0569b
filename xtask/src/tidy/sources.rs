//! T3, T4, T5 and T6: rules about Rust sources.

use super::code::{Line, lines, notes};
use super::{Finding, Source};

/// The crates with atomics.
const LATCH_FREE: &[&str] = &["crates/esker-iobufs/", "crates/esker-page-table/"];
/// The module of each that may name the standard library's.
const SHIM: &str = "src/sync.rs";
/// Where `unsafe` may be, by how the path begins.
const UNSAFE: &[&str] =
    &["crates/esker-iobufs/", "crates/esker-page-table/src/table.rs", "crates/esker-page-table/src/table/"];
const ORDERINGS: &[&str] = &["Relaxed", "Acquire", "Release", "AcqRel", "SeqCst"];

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let rust = sources.iter().filter(|source| source.path.ends_with(".rs"));
    rust.flat_map(check_one).collect()
}

fn check_one(source: &Source) -> Vec<Finding> {
    let Source { path, text } = source;
    let lines = lines(text);
    let mut findings = module(path, &lines);
    let latch_free = LATCH_FREE.iter().find_map(|folder| path.strip_prefix(folder));
    let may_be_unsafe = UNSAFE.iter().any(|place| path.starts_with(place));
    let tests_from = tests_from(path, &lines);
    for (at, line) in lines.iter().enumerate() {
        let mut found = Vec::new();
        if line.has_word("unsafe") {
            found.extend(safety(may_be_unsafe, &lines, at));
        }
        if let Some(within) = latch_free
            && at < tests_from
        {
            found.extend(ordering(&lines, at));
            if within != SHIM {
                found.extend(shim(&lines, at));
            }
        }
        findings.extend(found.into_iter().map(|what| Finding { place: path.clone(), line: at + 1, what }));
    }
    findings
}

/// The line from which on a file holds tests only: its first if it lies in a folder of tests, else that of the `mod` that
/// `#[cfg(test)]` stands before, which by convention comes last.
fn tests_from(path: &str, lines: &[Line]) -> usize {
    let name = path.rsplit('/').next().unwrap_or(path);
    if name == "tests.rs" || name.starts_with("loom_") || path.split('/').any(|folder| folder == "tests") {
        return 0;
    }
    let opens = |pair: &[Line]| pair[0].code.trim() == "#[cfg(test)]" && pair[1].code.trim() == "mod tests {";
    lines.windows(2).position(opens).unwrap_or(lines.len())
}

/// T6.
fn module(path: &str, lines: &[Line]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if path.ends_with("/mod.rs") {
        findings.push(Finding::whole(path, "T6: the module's file is `name.rs`, not `name/mod.rs`"));
    }
    let first = lines.iter().find(|line| !line.code.trim().is_empty() || !line.comment.is_empty());
    if !first.is_some_and(|line| line.comment.starts_with("//!")) {
        findings.push(Finding::whole(path, "T6: does not begin with `//!`: what does it own, what does it refuse?"));
    }
    findings
}

/// T3.
fn safety(may_be_unsafe: bool, lines: &[Line], at: usize) -> Option<String> {
    if !may_be_unsafe {
        return Some("T3: unsafe code outside of the modules that may have it".into());
    }
    let notes = notes(lines, at, |_| false);
    if declares(&lines[at]) {
        let documented = notes.contains("# Safety") || notes.contains("SAFETY:");
        return (!documented).then(|| "T3: an unsafe declaration without `# Safety`".into());
    }
    match notes.split_once("SAFETY:") {
        None => Some("T3: unsafe code without a SAFETY comment".into()),
        Some((_, proof)) if !names_invariant(proof) => {
            Some("T3: this SAFETY comment names no invariant (I1, I2, …)".into())
        }
        Some(_) => None,
    }
}

/// Whether the line declares something unsafe, so that the callers have to prove something.
fn declares(line: &Line) -> bool {
    let code = line.code.split_whitespace().collect::<Vec<_>>().join(" ");
    ["unsafe fn", "unsafe trait", "unsafe extern"].iter().any(|declared| code.contains(declared))
}

/// `I` and a number, as a word.
fn names_invariant(text: &str) -> bool {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let number = |word: &str| word.strip_prefix('I').is_some_and(|rest| rest.parse::<u32>().is_ok());
    words.into_iter().any(number)
}

/// T4. A note may cover a run of statements with orderings; but it has to name each ordering that is used.
fn ordering(lines: &[Line], at: usize) -> Option<String> {
    let code = lines[at].code.replace(' ', "");
    if code.contains("Ordering::{") || code.contains("Ordering::*") {
        return Some("T4: orderings are named in full, so that each can be found".into());
    }
    let used: Vec<_> = orderings(&lines[at]).collect();
    if used.is_empty() {
        return None;
    }
    let notes = notes(lines, at, |line| orderings(line).next().is_some());
    let Some((_, note)) = notes.split_once("ORDERING:") else {
        return Some("T4: an ordering without an ORDERING comment".into());
    };
    let unnamed = used.into_iter().find(|ordering| !note.contains(ordering))?;
    Some(format!("T4: the ORDERING comment says nothing of {unnamed}"))
}

fn orderings(line: &Line) -> impl Iterator<Item = &'static str> {
    let code = line.code.replace(' ', "");
    ORDERINGS.iter().copied().filter(move |ordering| code.contains(&format!("Ordering::{ordering}")))
}

/// T5. `Arc` is exempt: it orders nothing that a model looks at.
fn shim(lines: &[Line], at: usize) -> Option<String> {
    let code = statement(lines, at);
    let mut named: Vec<&str> = Vec::new();
    for path in ["std::", "core::", "alloc::"] {
        for (found, _) in code.match_indices(path) {
            let rest = &code[found + path.len()..];
            named.extend(
                rest.strip_prefix('{').map_or_else(|| vec![rest], |group| group.split([',', '{', '}']).collect()),
            );
        }
    }
    let refused = |item: &&&str| {
        let word = |word: &str| item.strip_prefix(word).is_some_and(|rest| !rest.starts_with(part_of_word));
        (word("sync") && !word("sync::Arc")) || word("thread")
    };
    let refused = named.iter().find(refused)?;
    let what: String = refused.chars().take_while(|c| part_of_word(*c) || *c == ':').collect();
    Some(format!("T5: {what} is taken from `crate::sync`, or loom would not see it"))
}

fn part_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The line's code without spaces; an import that begins on it, with all its lines.
fn statement(lines: &[Line], at: usize) -> String {
    let squeezed = |line: &Line| line.code.split_whitespace().collect::<String>();
    let mut code = squeezed(&lines[at]);
    let imports = lines[at].has_word("use");
    for line in lines[at + 1..].iter().take_while(|_| imports) {
        if code.ends_with(';') {
            break;
        }
        code.push_str(&squeezed(line));
    }
    code
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::Source;

    const ENGINE: &str = "crates/esker-iobufs/src/slot.rs";

    fn findings(path: &str, text: &str) -> Vec<String> {
        let source = Source { path: path.into(), text: format!("//! Sample.\n{text}") };
        check(&[source]).iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn passes(path: &str, text: &str) {
        assert_eq!(findings(path, text), [""; 0], "{text}");
    }

    #[track_caller]
    fn finds(rule: &str, path: &str, text: &str) {
        let findings = findings(path, text);
        assert_eq!(findings.len(), 1, "{text}: {findings:?}");
        assert!(findings[0].contains(rule), "{findings:?}");
    }

    #[test]
    fn unsafe_names_its_invariant() {
        passes(ENGINE, "// SAFETY: I2 (exclusive ranges): ours.\nunsafe { f() }");
        passes(ENGINE, "// SAFETY: by I3.\nlet x =\n    unsafe { f() };");
        passes(ENGINE, "/// # Safety\n///\n/// None.\npub unsafe fn f() {}");
        passes(ENGINE, "// unsafe\nlet unsafe_code = \"unsafe\";");
        finds("T3", ENGINE, "unsafe { f() }");
        finds("T3", ENGINE, "// SAFETY: trust me.\nunsafe { f() }");
        finds("T3", ENGINE, "// SAFETY: I2.\nfirst();\nunsafe { f() }");
        finds("T3", ENGINE, "// SAFETY: I2.\n\nunsafe impl Sync for A {}");
        finds("T3", ENGINE, "pub unsafe fn f() {}");
    }

    #[test]
    fn unsafe_is_in_the_engine_and_in_the_table_alone() {
        for path in ["crates/esker-log/src/lib.rs", "xtask/src/main.rs", "crates/esker-page-table/src/ids.rs"] {
            finds("outside", path, "// SAFETY: I2.\nunsafe { f() }");
        }
        for path in ["crates/esker-page-table/src/table.rs", "crates/esker-page-table/src/table/chunk.rs"] {
            passes(path, "// SAFETY: I2.\nunsafe { f() }");
            finds("T3", path, "unsafe { f() }");
        }
        finds("outside", "crates/esker-log/src/lib.rs", "#[cfg(test)]\nmod tests {\n    unsafe fn f() {}\n}");
    }

    #[test]
    fn orderings_say_what_they_pair_with() {
        passes(ENGINE, "// ORDERING: Acquire, pairs with [P1].\nlet x = a.load(Ordering::Acquire);");
        passes(ENGINE, "let x = a.load(Ordering::Relaxed); // ORDERING: Relaxed, a hint.");
        passes(ENGINE, "if a.cmp(&b) == std::cmp::Ordering::Less {}");
        for path in [ENGINE, "crates/esker-page-table/src/table/chunk.rs"] {
            finds("T4", path, "let x = a.load(Ordering::Acquire);");
        }
        finds(
            "T4",
            ENGINE,
            "// ORDERING: Acquire.\nlet x = a.load(Ordering::Acquire);\nb.store(1, Ordering::Release);",
        );
        finds("T4", ENGINE, "use crate::sync::Ordering::{self, Acquire};");
        passes("crates/esker-iobufs/src/tests/loom_claim.rs", "a.load(Ordering::SeqCst);");
        passes("crates/esker-log/src/lib.rs", "a.load(Ordering::SeqCst);");
        finds("T4", ENGINE, "#[cfg(test)]\nuse x;\na.load(Ordering::Relaxed);");
        passes(ENGINE, "#[cfg(test)]\nmod tests {\n    fn f() { a.load(Ordering::Relaxed); }\n}");
    }

    #[test]
    fn latch_free_crates_take_threads_and_locks_from_their_shims() {
        for text in [
            "use std::sync::Mutex;",
            "let x = std::thread::spawn(f);",
            "use core::sync::atomic::AtomicU64;",
            "use std::{fmt, sync::Mutex};",
            "use std :: sync :: Mutex;",
            "use std::{\n    fmt,\n    sync::{Arc, Mutex},\n};",
            "pub(crate) use std::{\n    fmt,\n    thread,\n};",
        ] {
            finds("T5", ENGINE, text);
            finds("T5", "crates/esker-page-table/src/ids.rs", text);
            passes("crates/esker-iobufs/src/sync.rs", text);
            passes("crates/esker-page-table/src/sync.rs", text);
            passes("crates/esker-iobufs/src/tests/claim.rs", text);
            passes("crates/esker-log/src/lib.rs", text);
        }
        passes(ENGINE, "use std::{fmt, sync::Arc, time};\nlet x = std::sync::Arc::new(1);");
        passes(ENGINE, "use std::{fmt, ops::Range};\nuse crate::sync::Mutex; // not std::sync");
    }

    #[test]
    fn modules_say_what_they_own() {
        let one = |path: &str, text: &str| check(&[Source { path: path.into(), text: text.into() }]);
        assert_eq!(one("crates/a/src/lib.rs", "\n//! Owns.\n"), []);
        assert_eq!(one("crates/a/src/lib.rs", "// Owns.\nfn f() {}").len(), 1);
        assert_eq!(one("crates/a/src/lib.rs", "").len(), 1);
        assert_eq!(one("crates/a/src/b/mod.rs", "//! Owns.\n").len(), 1);
        assert_eq!(one("crates/a/README.md", "text"), []);
    }
}
