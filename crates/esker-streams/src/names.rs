//! The names of the store's files, besides those of its ledger, which is an ordinary log in the same directory.

/// The segments of all streams.
pub(crate) const DATA: &str = "streams";
