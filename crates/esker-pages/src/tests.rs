//! Tests of the store as a whole.

mod behaviour;
mod crashes;
mod support;
mod threads;
