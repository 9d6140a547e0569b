//! Benchmarks of the esker layers.
