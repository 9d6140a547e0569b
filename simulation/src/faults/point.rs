//! What can be made to fail, where and how: the rows and the columns of the table.

use std::{fmt, str::FromStr};

/// An enumeration whose variants have names on the command line.
macro_rules! named {
    ($(#[$doc:meta])* $type:ident { $($(#[$of:meta])* $variant:ident = $name:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum $type { $($(#[$of])* $variant),* }

        impl $type {
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),*];

            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(name: &str) -> Result<Self, String> {
                let names = || Self::ALL.iter().map(|one| one.name()).collect::<Vec<_>>().join(", ");
                let found = Self::ALL.iter().find(|one| one.name() == name);
                found.copied().ok_or_else(|| format!("there is no `{name}`, only {}", names()))
            }
        }
    };
}

named! {
    /// Options of the log.
    Set {
        /// The smallest segments and buffers, no thread of the log's own.
        Small = "small",
        /// Two buffers, and the log's own thread, which syncs early.
        Background = "background",
        /// Larger ones, and the upkeep done by the workload.
        Upkeep = "upkeep",
    }
}

named! {
    /// What the workload was doing.
    Phase {
        Create = "create",
        Append = "append",
        Wait = "wait",
        Threads = "threads",
        Read = "read",
        Blob = "blob",
        Truncate = "truncate",
        /// Opening after the end of the process or of the power.
        Recover = "recover",
        Close = "close",
        /// Reading and opening after a clean close.
        Reopen = "reopen",
        /// What is done only to see how the log is after a fault: nothing is made to fail there.
        After = "after",
    }
}

named! {
    /// A call of the storage.
    Call {
        Create = "create",
        Open = "open",
        Remove = "remove",
        Rename = "rename",
        List = "list",
        Lock = "lock",
        SyncDir = "sync_dir",
        Read = "read",
        Write = "write",
        WriteVectored = "write_vectored",
        Len = "len",
        SetLen = "set_len",
        Preallocate = "preallocate",
        SyncData = "sync_data",
        SyncAll = "sync_all",
    }
}

named! {
    /// What happens at a call.
    Fault {
        /// It fails.
        Once = "once",
        /// It fails, and all of its kind that come after it in this life of the log.
        Since = "since",
        /// A part is written, and it fails.
        Short = "short",
        /// The disk is full from then on, until it gets more room.
        Full = "full",
        /// The power fails in its middle.
        Cut = "cut",
        /// It does not return until it is released.
        Hang = "hang",
        /// It reads a bit that has flipped for good.
        Rot = "rot",
        /// It reads something else.
        Misread = "misread",
        /// It says that it has written, and has not.
        Lost = "lost",
        /// The same, and what it should have written is somewhere else.
        Misdirected = "misdirected",
    }
}

impl Fault {
    pub(crate) fn fits(self, call: Call) -> bool {
        let writes = matches!(call, Call::Write | Call::WriteVectored);
        match self {
            Self::Once | Self::Since | Self::Cut | Self::Hang => true,
            Self::Short | Self::Lost | Self::Misdirected => writes,
            Self::Full => writes || call == Call::Preallocate,
            Self::Rot | Self::Misread => call == Call::Read,
        }
    }

    /// Whether the disk goes bad without an error: a log cannot help losing something then, but has to say so.
    pub(crate) fn is_damage(self) -> bool {
        matches!(self, Self::Rot | Self::Misread | Self::Lost | Self::Misdirected)
    }

    /// Whether a call says that it failed.
    pub(crate) fn is_error(self) -> bool {
        matches!(self, Self::Once | Self::Since | Self::Short)
    }
}

/// One fault at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) set: Set,
    pub(crate) phase: Phase,
    pub(crate) call: Call,
    /// Which of these calls in this phase.
    pub(crate) nth: usize,
    pub(crate) fault: Fault,
}

/// As arguments.
impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { set, phase, call, nth, fault } = self;
        let (set, phase, call, fault) = (set.name(), phase.name(), call.name(), fault.name());
        write!(f, "--set {set} --phase {phase} --call {call} --nth {nth} --fault {fault}")
    }
}
