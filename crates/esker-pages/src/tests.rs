//! Tests of the store as a whole.

mod batches;
mod behaviour;
mod churn;
mod concurrent;
mod crashes;
mod look;
mod support;
mod threads;
