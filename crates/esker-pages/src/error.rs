//! What can go wrong, for those who use the store.

use esker_format::Lsn;
use esker_log::Corruption;
use esker_page_table::{PageId, Version};
use thiserror::Error;

/// Why an operation was not done.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The page is not at the version that was expected: somebody else has changed it. Nothing was done.
    #[error("page {page} is {}, not {}", describe(.current), describe(.expected))]
    Conflict {
        /// Which page.
        page: PageId,
        /// The version that was expected; `None` for no such page.
        expected: Option<Version>,
        /// The version that the page has; `None` if there is no such page.
        current: Option<Version>,
    },
    /// The name does not stand for the page that was expected: somebody else has changed it. Nothing was done.
    #[error("the name {name:?} stands for {}, not {}", describe_page(.current), describe_page(.expected))]
    RootConflict {
        /// Which name.
        name: String,
        /// What it was expected to stand for; `None` for nothing.
        expected: Option<PageId>,
        /// What it stands for.
        current: Option<PageId>,
    },
    /// The store uses this page itself.
    #[error("page {page} is the store's own")]
    Reserved {
        /// Which page.
        page: PageId,
    },
    /// A page is in a batch more than once.
    #[error("page {page} is in the batch twice")]
    Twice {
        /// Which page.
        page: PageId,
    },
    /// The content is too long.
    #[error("{len} bytes are too many: a {what} has at most {max}")]
    TooLarge {
        /// What it was to be.
        what: &'static str,
        /// How long it is, in bytes.
        len: u64,
        /// How long it may be, in bytes.
        max: u64,
    },
    /// What is live fills the space that the store may use. Freeing pages still works.
    #[error("{live_bytes} live bytes leave no room in a store of {max_bytes}")]
    NoSpace {
        /// How much of the store is live.
        live_bytes: u64,
        /// How much it may be.
        max_bytes: u64,
    },
    /// There are no page ids left, or no numbers.
    #[error("the store has used up its {what}")]
    Exhausted {
        /// What there is no more of.
        what: &'static str,
    },
    /// The options contradict themselves or each other.
    #[error("invalid options: {}", .faults.join("; "))]
    InvalidOptions {
        /// What is wrong with them, all of it.
        faults: Vec<String>,
    },
    /// Something in the log is not what the store has put there. What else there is can be read.
    #[error("page {page}: at lsn {lsn} is {reason}")]
    Damaged {
        /// The page that it was looked up for; the first one if it was met otherwise.
        page: PageId,
        /// Where it is.
        lsn: Lsn,
        /// What is found there.
        reason: &'static str,
    },
    /// No page of this store was ever given this version.
    #[error("no page was ever at version {version}")]
    NeverMade {
        /// The version.
        version: Version,
    },
    /// The store is closed, and whether what was waited for is durable, the next opening tells.
    #[error("the store was closed")]
    Closed,
    /// What the log below says: damage, a failing or full disk, a store that has stopped.
    #[error(transparent)]
    Log(#[from] esker_log::Error),
}

impl Error {
    /// The version that the page has, if that is what the operation failed for.
    #[must_use]
    pub fn conflict(&self) -> Option<Option<Version>> {
        match self {
            Self::Conflict { current, .. } => Some(*current),
            _ => None,
        }
    }
}

impl From<Corruption> for Error {
    fn from(corruption: Corruption) -> Self {
        Self::Log(corruption.into())
    }
}

fn describe_page(page: &Option<PageId>) -> String {
    page.map_or_else(|| "nothing".to_owned(), |page| format!("page {page}"))
}

fn describe(version: &Option<Version>) -> String {
    version.map_or_else(|| "free".to_owned(), |version| format!("at version {version}"))
}
