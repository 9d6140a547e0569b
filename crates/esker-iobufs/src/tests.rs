//! The engine by itself: a file in memory below it, a counter instead of an accountant above it.

mod behaviour;
mod faults;
mod leaks;
mod loom_models;
mod loom_reservations;
mod shared;
mod support;
mod waits;

/// The table of ordering pairs in the crate's documentation names models that there are.
#[test]
fn the_models_that_the_documentation_names_exist() {
    let models = [include_str!("tests/loom_models.rs"), include_str!("tests/loom_reservations.rs")].concat();
    let rows: Vec<_> = include_str!("lib.rs").lines().filter(|line| line.starts_with("//! | P")).collect();
    assert!(rows.len() >= 6, "{rows:?}");
    for row in rows {
        let named: Vec<_> = row.split('`').filter(|word| word.starts_with("loom_")).collect();
        assert!(!named.is_empty(), "no model: {row}");
        for model in named {
            assert!(models.contains(&format!("fn {model}()")), "there is no model {model}: {row}");
        }
    }
}
