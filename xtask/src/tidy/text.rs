//! T7: what has no place in any file.

use super::{Finding, Source};

/// Leftovers of work in progress. Put together here so that this file does not find itself.
const LEFTOVERS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("dbg", "!("),
    concat!("to", "do!("),
    concat!("unimplemented", "!("),
];
/// Beginnings of paths that exist on one machine only.
const MACHINE: &[&str] = &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Use", "rs/"), concat!("/wo", "rk/")];
/// What the lock file says of a package that comes from a registry, and not from a repository or a path.
const FROM_A_REGISTRY: &str = "registry+";
/// Settings by which a checkout would ask another registry.
const REDIRECTIONS: &[&str] = &["[source", "[registr", "replace-with", "sparse+"];

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    sources.iter().flat_map(check_one).collect()
}

fn check_one(source: &Source) -> Vec<Finding> {
    let Source { path, text } = source;
    let mut findings = Vec::new();
    if !text.is_empty() && !text.ends_with('\n') {
        findings.push(Finding::whole(path, "T7: the last line does not end"));
    }
    for (at, line) in text.lines().enumerate() {
        let leftover = LEFTOVERS.iter().find(|leftover| line.contains(**leftover));
        let leftover = leftover.map(|leftover| format!("T7: a leftover, `{leftover}`"));
        let machine = MACHINE.iter().find(|machine| begins_a_path(line, machine));
        let machine = machine.map(|machine| format!("T7: a path of one machine, `{machine}…`"));
        let found = leftover.into_iter().chain(machine).chain(registry(path, line));
        findings.extend(found.map(|what| Finding { place: path.clone(), line: at + 1, what }));
    }
    findings
}

/// Whether `path` is in the line, and not as the rest of a longer path or address.
fn begins_a_path(line: &str, path: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || "._-~/".contains(c);
    line.match_indices(path).any(|(at, _)| !line[..at].chars().next_back().is_some_and(inner))
}

fn registry(path: &str, line: &str) -> Option<String> {
    if path.ends_with("Cargo.lock") {
        let source = line.strip_prefix("source = ")?.trim_matches('"');
        return (!source.starts_with(FROM_A_REGISTRY)).then(|| format!("T7: a package from {source}"));
    }
    let configures = path.ends_with("config.toml") || path.ends_with("Cargo.toml");
    let redirection = REDIRECTIONS.iter().find(|redirection| configures && line.contains(**redirection))?;
    Some(format!("T7: another registry, `{redirection}`"))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::Source;

    fn count(path: &str, text: &str) -> usize {
        check(&[Source { path: path.into(), text: text.into() }]).len()
    }

    #[test]
    fn leftovers_are_found_in_any_file() {
        for leftover in super::LEFTOVERS {
            assert_eq!(count("README.md", &format!("one\n{leftover} later)\n")), 1, "{leftover}");
        }
        assert_eq!(count("README.md", "nothing to do here\n"), 0);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        for machine in super::MACHINE {
            assert_eq!(count("a.rs", &format!("let x = \"{machine}me/x\";\n")), 1, "{machine}");
            assert_eq!(count("a.rs", &format!("// https://example.org{machine}me\n")), 0, "{machine}");
        }
    }

    #[test]
    fn packages_come_from_a_registry_and_no_setting_names_another() {
        assert_eq!(count("Cargo.lock", &format!("source = \"{}index\"\n", super::FROM_A_REGISTRY)), 0);
        assert_eq!(count("Cargo.lock", "source = \"sparse+https://mirror.example/\"\n"), 1);
        assert_eq!(count(".cargo/config.toml", "[source.crates-io]\nreplace-with = \"mirror\"\n"), 2);
        assert_eq!(count(".cargo/config.toml", "[alias]\n"), 0);
    }

    #[test]
    fn unfinished_last_line_is_found() {
        assert_eq!((count("a.rs", "x"), count("a.rs", "x\n"), count("a.rs", "")), (1, 0, 0));
    }
}
