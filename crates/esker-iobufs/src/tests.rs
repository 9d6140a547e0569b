//! The engine by itself: a file in memory below it, a counter instead of an accountant above it.

mod behaviour;
mod faults;
mod leaks;
mod loom_models;
mod loom_reservations;
mod shared;
mod support;
