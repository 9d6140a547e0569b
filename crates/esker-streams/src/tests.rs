//! The store on storage in memory and on a simulated disk.

mod crashes;
mod examples;
mod notes;
mod support;
