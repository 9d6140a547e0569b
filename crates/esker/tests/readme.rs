//! The project's front page shows the facade's example, which is tested there.

use std::{fs, path::Path};

fn example(text: &str) -> &str {
    let (_, after) = text.split_once("```rust\n").expect("there is an example");
    after.split_once("```").expect("the example ends").0
}

#[test]
fn the_project_and_the_facade_show_the_same_example() {
    let facade = include_str!("../README.md");
    // A published package has no project around it.
    let Ok(project) = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")) else { return };
    assert_eq!(example(&project), example(facade));
}
