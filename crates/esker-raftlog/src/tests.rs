//! Tests of the whole.

mod groups;
