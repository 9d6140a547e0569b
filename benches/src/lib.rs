//! What several benchmarks of the esker layers share: see `benches/`, `counts/` and the README.
//!
//! Owns the stand-ins that take a layer's surroundings out of what is measured. Refuses to measure anything.
#![forbid(unsafe_code)]

mod null;

pub use null::{Endless, NullFile, engine_on_nothing};
