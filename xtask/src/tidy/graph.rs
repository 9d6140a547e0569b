//! T1: which layer may depend on which.
//!
//! Owns the table. A layer that is not in it is a finding: a new layer states its place here first.

use std::collections::BTreeSet;

use super::Finding;
use crate::metadata::{Dependency, Kind, Package};

/// Each layer and the layers that it may use, lowest first.
const LAYERS: &[(&str, &[&str])] = &[
    ("esker-header", &[]),
    ("esker-format", &[]),
    ("esker-storage", &[]),
    ("esker-sim", &["esker-storage"]),
    ("esker-segments", &["esker-format"]),
    ("esker-tickets", &[]),
    ("esker-iobufs", &["esker-header", "esker-format", "esker-storage"]),
    ("esker-log", &["esker-iobufs", "esker-tickets", "esker-segments", "esker-format", "esker-storage"]),
    ("esker-raftlog", &["esker-log"]),
    ("esker-openraft", &["esker-raftlog"]),
    ("esker-openraft-010", &["esker-raftlog"]),
    ("esker-tikv-raft", &["esker-raftlog"]),
    ("esker-streams", &["esker-log", "esker-iobufs", "esker-segments", "esker-format", "esker-storage"]),
    ("esker-page-table", &["esker-format"]),
    (
        "esker-pages",
        &[
            "esker-streams",
            "esker-page-table",
            "esker-tickets",
            "esker-log",
            "esker-segments",
            "esker-format",
            "esker-storage",
        ],
    ),
    ("esker", &["esker-log", "esker-iobufs", "esker-segments", "esker-format", "esker-storage"]),
    ("esker-cli", &["esker", "esker-pages"]),
];
/// Only tests may use the simulated disk.
const SIMULATION: &str = "esker-sim";
/// What the simulated disk stands on: whatever is built on this may use it in tests.
const SIMULATED: &str = "esker-storage";
/// Layers that use nothing at all outside their tests.
const BARE: &[&str] = &["esker-header"];
/// Packages above all layers.
const ABOVE: &[&str] = &["esker-benches", "esker-docs", "esker-simulation", "raft-kv", "xtask"];

pub(super) fn check(members: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in members.iter().filter(|member| !ABOVE.contains(&member.name.as_str())) {
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == member.name) else {
            findings
                .push(Finding::whole(&member.name, "T1: this layer is not in the table of xtask/src/tidy/graph.rs"));
            continue;
        };
        let layers_of_members = |name: &str| members.iter().any(|member| member.name == name);
        for dependency in &member.dependencies {
            let internal = dependency.internal || layers_of_members(&dependency.name);
            let what = if internal {
                internal_edge(&member.name, allowed, dependency)
            } else if BARE.contains(&member.name.as_str()) && dependency.kind != Kind::Dev {
                Some(format!("T1: depends on {}, but this layer stands alone", dependency.name))
            } else {
                None
            };
            findings.extend(what.map(|what| Finding::whole(&member.name, what)));
        }
    }
    findings
}

fn internal_edge(from: &str, allowed: &[&str], dependency: &Dependency) -> Option<String> {
    let to = dependency.name.as_str();
    let versioned = dependency.version != "*";
    if dependency.kind == Kind::Dev {
        let lower = below(allowed);
        let simulation = to == SIMULATION && from != SIMULATION && lower.contains(SIMULATED);
        if !lower.contains(to) && !simulation {
            return Some(format!("T1: its tests depend on {to}, which is not below it"));
        }
        // cargo publishes only what its registry can resolve, and it ignores dev-dependencies that have no version.
        return versioned
            .then(|| format!("T1: the dev-dependency on {to} has a version, so neither can be published first"));
    }
    if to == SIMULATION {
        return Some(format!("T1: depends on {to}, which is for tests"));
    }
    if !allowed.contains(&to) {
        return Some(format!("T1: depends on {to}, which is not among {allowed:?}"));
    }
    (!versioned).then(|| format!("T1: the dependency on {to} needs a version to be published"))
}

/// The layers in `allowed` and all below them.
fn below(allowed: &[&str]) -> BTreeSet<&'static str> {
    let mut all = BTreeSet::new();
    for (name, under) in LAYERS.iter().filter(|(name, _)| allowed.contains(name)) {
        all.insert(*name);
        all.extend(below(under));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{LAYERS, check};
    use crate::metadata::{Dependency, Kind, Package};

    fn findings(from: &str, to: &str, kind: Kind, version: &str) -> Vec<String> {
        let dependency =
            Dependency { name: to.into(), kind, version: version.into(), internal: to.starts_with("esker") };
        let package = Package { name: from.into(), dependencies: vec![dependency], ..Package::default() };
        check(&[package]).iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn accepted(from: &str, to: &str, kind: Kind, version: &str) {
        assert_eq!(findings(from, to, kind, version), [""; 0]);
    }

    #[track_caller]
    fn refused(from: &str, to: &str, kind: Kind, version: &str) {
        assert_eq!(findings(from, to, kind, version).len(), 1, "{from} -> {to}");
    }

    #[test]
    fn downward_edges_are_accepted() {
        accepted("esker-log", "esker-iobufs", Kind::Normal, "^0.1.0");
        accepted("esker-log", "esker-header", Kind::Dev, "*");
        accepted("esker-cli", "esker", Kind::Normal, "^0.1.0");
        accepted("esker-cli", "esker-storage", Kind::Dev, "*");
        accepted("esker-segments", "thiserror", Kind::Normal, "^2.0");
    }

    #[test]
    fn upward_and_sideward_edges_are_refused_even_in_tests() {
        for kind in [Kind::Normal, Kind::Build, Kind::Dev] {
            let version = if kind == Kind::Dev { "*" } else { "^0.1.0" };
            refused("esker-format", "esker-log", kind, version);
            refused("esker-segments", "esker-iobufs", kind, version);
            refused("esker-iobufs", "esker-segments", kind, version);
            refused("esker-log", "esker", kind, version);
            refused("esker-page-table", "esker-iobufs", kind, version);
        }
    }

    #[test]
    fn simulated_disk_is_for_tests_above_storage() {
        accepted("esker-log", "esker-sim", Kind::Dev, "*");
        accepted("esker-iobufs", "esker-sim", Kind::Dev, "*");
        refused("esker-log", "esker-sim", Kind::Normal, "^0.1.0");
        refused("esker-storage", "esker-sim", Kind::Dev, "*");
        refused("esker-format", "esker-sim", Kind::Dev, "*");
        refused("esker-segments", "esker-sim", Kind::Dev, "*");
    }

    #[test]
    fn versions_are_where_publishing_needs_them() {
        refused("esker-log", "esker-format", Kind::Normal, "*");
        refused("esker-log", "esker-format", Kind::Dev, "^0.1.0");
    }

    #[test]
    fn header_stands_alone() {
        refused("esker-header", "libc", Kind::Normal, "^0.2");
        accepted("esker-header", "proptest", Kind::Dev, "^1");
    }

    #[test]
    fn unknown_layer_has_to_state_its_place() {
        let package = Package { name: "esker-unknown".into(), ..Package::default() };
        assert_eq!(check(&[package]).len(), 1);
    }

    #[test]
    fn table_names_only_layers_before() {
        for (at, (name, under)) in LAYERS.iter().enumerate() {
            for under in *under {
                assert!(LAYERS[..at].iter().any(|(before, _)| before == under), "{name} -> {under}");
            }
        }
    }
}
