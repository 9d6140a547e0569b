//! The table by itself, with nodes that know whether they were dropped.

#[cfg(not(loom))]
mod behaviour;
mod loom_models;
#[cfg(not(loom))]
mod misuse;
#[cfg(not(loom))]
mod property;
mod support;
#[cfg(not(loom))]
mod threads;

/// The table of ordering pairs in the crate's documentation names models that there are.
#[test]
fn the_models_that_the_documentation_names_exist() {
    let models = include_str!("tests/loom_models.rs");
    let rows: Vec<_> = include_str!("lib.rs").lines().filter(|line| line.starts_with("//! | P")).collect();
    assert_eq!(rows.len(), 7, "{rows:?}");
    for row in rows {
        let named: Vec<_> = row.split('`').filter(|word| word.starts_with("loom_")).collect();
        assert!(!named.is_empty(), "no model: {row}");
        for model in named {
            assert!(models.contains(&format!("fn {model}()")), "there is no model {model}: {row}");
        }
    }
}
