//! Where the bytes that are read come from: a log that is open for writing, or a picture of one.

use std::{collections::VecDeque, sync::Arc};

use esker_format::{LogId, Lsn};
use esker_storage::Storage;

use crate::{
    Error,
    walk::{Placement, Rules},
};

/// What reading needs to know of a log, whether it is open for writing or only read.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) placement: Arc<dyn Locate>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) log_id: LogId,
    pub(crate) rules: Rules,
}

/// A placement that also tells where in the file something is, for error messages, and how the log stands now.
pub(crate) trait Locate: Placement {
    /// The place of `lsn` in the file.
    fn offset_of(&self, lsn: Lsn) -> u64;
    /// Where the log begins at this moment.
    fn floor(&self) -> Result<Lsn, Error>;
    /// For telling damage: everything below had been durable.
    fn durable_to(&self) -> Lsn;
    /// Where in the log there are segments, beginning at the earliest at or beyond the segment of `lsn`.
    fn bases_from(&self, lsn: Lsn) -> VecDeque<Lsn>;
}
