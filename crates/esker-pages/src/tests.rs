//! Tests of the store as a whole.

mod batches;
mod behaviour;
mod crashes;
mod look;
mod support;
mod threads;
