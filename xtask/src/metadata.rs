//! What `cargo metadata` says of the workspace.
//!
//! Owns the reading of that JSON. Refuses opinions: `tidy` has them.

use std::path::PathBuf;

use serde_json::Value;

use crate::run::{Failure, cargo};

/// One member of the workspace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The folder of its manifest.
    pub(crate) folder: PathBuf,
    pub(crate) description: Option<String>,
    pub(crate) license: Option<String>,
    pub(crate) readme: Option<String>,
    pub(crate) published: bool,
    pub(crate) dependencies: Vec<Dependency>,
    /// Kind and name of each target.
    pub(crate) targets: Vec<(String, String)>,
}

/// One dependency of a member.
#[derive(Debug, Clone)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The version that is asked for, as cargo writes it; `*` if none is.
    pub(crate) version: String,
    /// Whether it is a package of this workspace.
    pub(crate) internal: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Dev,
    Build,
}

/// The members, in the order of the workspace's manifest. Fails if the lock file is not up to date.
pub(crate) fn members() -> Result<Vec<Package>, Failure> {
    let output = cargo(&["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .output()
        .map_err(|error| Failure::failed(format!("cannot run cargo metadata: {error}")))?;
    if !output.status.success() {
        return Err(Failure::failed(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr))));
    }
    let json = serde_json::from_slice(&output.stdout).map_err(Failure::failed)?;
    parse(&json).ok_or_else(|| Failure::failed("cargo metadata: not the expected JSON"))
}

fn parse(json: &Value) -> Option<Vec<Package>> {
    json["packages"].as_array()?.iter().map(package).collect()
}

fn package(json: &Value) -> Option<Package> {
    let text = |key: &str| json[key].as_str().map(str::to_owned);
    let manifest = PathBuf::from(json["manifest_path"].as_str()?);
    let targets = json["targets"].as_array()?.iter();
    let targets = targets.map(|target| Some((target["kind"][0].as_str()?.into(), target["name"].as_str()?.into())));
    Some(Package {
        name: text("name")?,
        version: text("version")?,
        folder: manifest.parent()?.to_owned(),
        description: text("description"),
        license: text("license"),
        readme: text("readme"),
        published: json["publish"].as_array().is_none_or(|registries| !registries.is_empty()),
        dependencies: json["dependencies"].as_array()?.iter().map(dependency).collect::<Option<_>>()?,
        targets: targets.collect::<Option<_>>()?,
    })
}

fn dependency(json: &Value) -> Option<Dependency> {
    let kind = match json["kind"].as_str() {
        None => Kind::Normal,
        Some("dev") => Kind::Dev,
        Some("build") => Kind::Build,
        Some(_) => return None,
    };
    let name = json["name"].as_str()?.to_owned();
    let version = json["req"].as_str()?.to_owned();
    Some(Dependency { name, kind, version, internal: json["path"].is_string() })
}

#[cfg(test)]
mod tests {
    use super::{Kind, members, parse};

    #[test]
    fn this_workspace_is_understood() {
        let members = members().unwrap();
        let xtask = members.iter().find(|member| member.name == "xtask").unwrap();
        assert!(!xtask.published);
        assert!(xtask.dependencies.iter().any(|dependency| dependency.name == "serde_json"));
        let log = members.iter().find(|member| member.name == "esker-log").unwrap();
        let format = log.dependencies.iter().find(|dependency| dependency.name == "esker-format").unwrap();
        assert!(format.internal && format.kind == Kind::Normal && format.version != "*");
        assert!(log.targets.iter().any(|(kind, name)| kind == "lib" && name == "esker_log"));
    }

    #[test]
    fn other_json_is_refused() {
        assert!(parse(&serde_json::json!({})).is_none());
        assert!(parse(&serde_json::json!({ "packages": [{ "name": 7 }] })).is_none());
    }
}
