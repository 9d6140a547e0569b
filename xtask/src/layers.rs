//! `cargo xtask test`: each layer by itself.
//!
//! Testing per package keeps features apart that a build of the whole workspace would unite, and the plain build shows
//! that the layer does without what only its tests depend on.

use crate::args::Args;
use crate::metadata::members;
use crate::run::{Failure, cargo, run as execute};

pub(crate) fn run(mut args: Args) -> Result<(), Failure> {
    let layer = args.positional();
    args.finish()?;
    for name in chosen(layer.as_deref())? {
        execute(&mut cargo(&["test", "-p", &name]))?;
        alone(&name)?;
        document(&["-p", &name])?;
    }
    Ok(())
}

/// Builds each layer without its dev-dependencies.
pub(crate) fn all_alone() -> Result<(), Failure> {
    chosen(None)?.iter().try_for_each(|name| alone(name))
}

/// Documents with warnings denied.
pub(crate) fn document(which: &[&str]) -> Result<(), Failure> {
    let mut command = cargo(&["doc", "--no-deps"]);
    execute(command.args(which).env("RUSTDOCFLAGS", "-Dwarnings"))
}

fn alone(name: &str) -> Result<(), Failure> {
    execute(&mut cargo(&["build", "-p", name]))
}

fn chosen(layer: Option<&str>) -> Result<Vec<String>, Failure> {
    let mut names: Vec<String> = members()?.into_iter().filter(|member| member.published).map(|it| it.name).collect();
    if let Some(layer) = layer {
        let full = format!("esker-{layer}");
        let all = names.join(", ");
        names.retain(|name| name == layer || *name == full);
        if names.is_empty() {
            return Err(Failure::Usage(format!("there is no layer `{layer}`, only {all}")));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn layer_is_named_with_or_without_the_prefix() {
        assert_eq!(chosen(Some("segments")).unwrap(), ["esker-segments"]);
        assert_eq!(chosen(Some("esker-segments")).unwrap(), ["esker-segments"]);
        assert_eq!(chosen(Some("esker")).unwrap(), ["esker"]);
        assert!(chosen(Some("xtask")).is_err());
        assert!(chosen(None).unwrap().len() >= 9);
    }
}
