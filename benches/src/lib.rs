//! Benchmarks of the esker layers: see `benches/`, and `cargo xtask bench`.
