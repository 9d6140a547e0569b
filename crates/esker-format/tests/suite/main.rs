//! What the crate promises, from outside: the specification, golden bytes, properties, and each thing a scanner can meet.

mod hex;
mod properties;
mod scanner;
mod segment;
mod spec;
mod values;
mod vectors;
