//! What was asked of the disk.
//!
//! Owns the kinds of calls and their counters. Refuses to know how a call ended.
//!
//! # Invariants
//!
//! K1 of the disk.

use crate::faults::{Calls, Failures, Faults};

/// How often each kind of call was made, whether it succeeded or failed by a fault. Calls that the contract refuses (no
/// such file, invalid argument, nothing to write) and calls after the power cut are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Counts {
    /// `create`, and `lock` where it made the file.
    pub creates: u64,
    /// `open`.
    pub opens: u64,
    /// `remove`.
    pub removes: u64,
    /// `rename`, except to the same name.
    pub renames: u64,
    /// `list`.
    pub lists: u64,
    /// `lock` of a file that was there.
    pub locks: u64,
    /// `sync_dir`.
    pub dir_syncs: u64,
    /// `read_at`.
    pub reads: u64,
    /// `write_all_at` and `write_all_vectored_at`.
    pub writes: u64,
    /// `len`.
    pub lens: u64,
    /// `set_len`.
    pub set_lens: u64,
    /// `preallocate`.
    pub preallocations: u64,
    /// `sync_data`.
    pub data_syncs: u64,
    /// `sync_all`.
    pub full_syncs: u64,
    /// The bytes that writes were asked to write.
    pub bytes_written: u64,
    /// The bytes that reads were asked to read.
    pub bytes_read: u64,
    /// The calls that hung, released or not.
    pub hangs: u64,
    /// The [ticks](crate::Pace::tick) that slow calls take in all.
    pub ticks: u64,
}

impl Counts {
    /// How many calls changed or synced something: the number that
    /// [`Faults::crash_after_ops`] is compared with.
    #[must_use]
    pub fn changing(&self) -> u64 {
        let files = self.writes + self.set_lens + self.preallocations + self.syncs();
        files + self.creates + self.removes + self.renames + self.dir_syncs
    }

    /// How many calls synced a file.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.data_syncs + self.full_syncs
    }

    /// How many calls so far can fail for the same reason as this one.
    pub(crate) fn alike(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Create | Kind::Open | Kind::Remove | Kind::Rename | Kind::List | Kind::Lock => {
                self.creates + self.opens + self.removes + self.renames + self.lists + self.locks
            }
            Kind::DirSync => self.dir_syncs,
            Kind::Read => self.reads,
            Kind::Write => self.writes,
            Kind::Len => self.lens,
            Kind::SetLen | Kind::Preallocate => self.set_lens + self.preallocations,
            Kind::DataSync | Kind::FullSync => self.syncs(),
        }
    }

    pub(crate) fn count(&mut self, kind: Kind) {
        let counter = match kind {
            Kind::Create => &mut self.creates,
            Kind::Open => &mut self.opens,
            Kind::Remove => &mut self.removes,
            Kind::Rename => &mut self.renames,
            Kind::List => &mut self.lists,
            Kind::Lock => &mut self.locks,
            Kind::DirSync => &mut self.dir_syncs,
            Kind::Read => &mut self.reads,
            Kind::Write => &mut self.writes,
            Kind::Len => &mut self.lens,
            Kind::SetLen => &mut self.set_lens,
            Kind::Preallocate => &mut self.preallocations,
            Kind::DataSync => &mut self.data_syncs,
            Kind::FullSync => &mut self.full_syncs,
        };
        *counter += 1;
    }
}

/// What a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Create,
    Open,
    Remove,
    Rename,
    List,
    Lock,
    DirSync,
    Read,
    Write,
    Len,
    SetLen,
    Preallocate,
    DataSync,
    FullSync,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Open => "open",
            Self::Remove => "remove",
            Self::Rename => "rename",
            Self::List => "list",
            Self::Lock => "lock",
            Self::DirSync => "sync_dir",
            Self::Read => "read",
            Self::Write => "write",
            Self::Len => "len",
            Self::SetLen => "set_len",
            Self::Preallocate => "preallocate",
            Self::DataSync => "sync_data",
            Self::FullSync => "sync_all",
        }
    }

    /// Whether the call may leave something un-synced, or sync it.
    pub(crate) fn is_changing(self) -> bool {
        !matches!(self, Self::Open | Self::List | Self::Lock | Self::Read | Self::Len)
    }

    /// Which calls of this kind shall fail.
    pub(crate) fn failures(self, faults: &Faults) -> Failures {
        match self {
            Self::Create | Self::Open | Self::Remove | Self::Rename | Self::List | Self::Lock => faults.dir_error,
            Self::DirSync => faults.dir_sync_error,
            Self::Read => faults.read_error,
            Self::Write => faults.write_error,
            Self::Len => faults.len_error,
            Self::SetLen | Self::Preallocate => faults.length_error,
            Self::DataSync | Self::FullSync => faults.sync_error,
        }
    }

    /// Which of `calls` are of this kind.
    pub(crate) fn among(self, calls: &Calls) -> Failures {
        match self {
            Self::Create | Self::Open | Self::Remove | Self::Rename | Self::List | Self::Lock => calls.dir,
            Self::DirSync => calls.dir_sync,
            Self::Read => calls.read,
            Self::Write => calls.write,
            Self::Len => calls.len,
            Self::SetLen | Self::Preallocate => calls.length,
            Self::DataSync | Self::FullSync => calls.sync,
        }
    }
}
