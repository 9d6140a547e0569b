//! T2: every member shares the lints, and describes and licenses itself.

use std::path::Path;

use super::{Finding, Source};
use crate::metadata::Package;

const LICENSES: &[&str] = &["LICENSE-MIT", "LICENSE-APACHE"];

pub(super) fn check(members: &[Package], sources: &[Source], root: &Path) -> Vec<Finding> {
    let text = |path: &str| sources.iter().find(|source| source.path == path).map(|source| source.text.as_str());
    let mut findings = Vec::new();
    for member in members {
        let folder = member.folder.strip_prefix(root).unwrap_or(&member.folder);
        let folder = folder.to_string_lossy().replace('\\', "/");
        let mut find = |what: String| findings.push(Finding::whole(&folder, what));

        match text(&format!("{folder}/Cargo.toml")) {
            Some(manifest) if shares_lints(manifest) => {}
            _ => find("T2: Cargo.toml has no `workspace = true` under [lints]".into()),
        }
        if member.description.as_deref().is_none_or(|description| description.trim().is_empty()) {
            find("T2: no description".into());
        }
        if member.license.as_deref() != Some("MIT OR Apache-2.0") {
            find(format!("T2: the licence is {:?}", member.license));
        }
        let readme = member.readme.as_deref().map(|readme| format!("{folder}/{readme}"));
        match readme.as_deref().and_then(text) {
            None => find("T2: no README".into()),
            Some(readme) if !readme.contains("## Should I use this crate?") && member.name != "esker" => {
                find("T2: its README does not say who should use it".into());
            }
            Some(_) => {}
        }
        for license in LICENSES.iter().filter(|_| member.published) {
            if text(license).is_none() || text(&format!("{folder}/{license}")) != text(license) {
                find(format!("T2: {license} is not a copy of the workspace's"));
            }
        }
    }
    findings
}

fn shares_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    lines.find(|line| !line.is_empty() && !line.starts_with('#')) == Some("workspace = true")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{check, shares_lints};
    use crate::metadata::Package;
    use crate::tidy::Source;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    fn sound() -> (Package, Vec<Source>) {
        let package = Package {
            name: "esker-sample".into(),
            folder: "/ws/crates/sample".into(),
            description: Some("A sample".into()),
            license: Some("MIT OR Apache-2.0".into()),
            readme: Some("README.md".into()),
            published: true,
            ..Package::default()
        };
        let sources = vec![
            source("LICENSE-MIT", "mit"),
            source("LICENSE-APACHE", "apache"),
            source("crates/sample/LICENSE-MIT", "mit"),
            source("crates/sample/LICENSE-APACHE", "apache"),
            source("crates/sample/README.md", "# sample\n\n## Should I use this crate?\n"),
            source("crates/sample/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n"),
        ];
        (package, sources)
    }

    #[track_caller]
    fn finds(what: &str, break_it: impl FnOnce(&mut Package, &mut Vec<Source>)) {
        let (mut package, mut sources) = sound();
        break_it(&mut package, &mut sources);
        let findings = check(&[package], &sources, Path::new("/ws"));
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].what.contains(what), "{findings:?}");
    }

    #[test]
    fn sound_package_passes() {
        let (package, sources) = sound();
        assert_eq!(check(&[package], &sources, Path::new("/ws")), []);
    }

    #[test]
    fn each_fault_is_found() {
        finds("description", |package, _| package.description = None);
        finds("description", |package, _| package.description = Some(" ".into()));
        finds("licence", |package, _| package.license = Some("MIT".into()));
        finds("README", |package, _| package.readme = None);
        finds("README", |_, sources| sources.retain(|source| source.path != "crates/sample/README.md"));
        finds("who should use it", |_, sources| sources[4].text = "# sample".into());
        finds("LICENSE-MIT", |_, sources| sources[2].text = "other".into());
        finds("LICENSE-APACHE", |_, sources| drop(sources.remove(3)));
        finds("[lints]", |_, sources| sources[5].text = "[package]\n".into());
    }

    #[test]
    fn lints_of_its_own_are_not_the_shared_ones() {
        assert!(shares_lints("[lints]\n# why\n\nworkspace = true\n"));
        assert!(!shares_lints("[lints.rust]\nunsafe_code = \"allow\"\nworkspace = true\n"));
        assert!(!shares_lints("[lints]\n[dependencies]\nworkspace = true\n"));
    }
}
