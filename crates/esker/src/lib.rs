//! The facade of the esker log. Owns where a log is and how it is opened ([`Config`]), and the names that users need from
//! the layers below; refuses algorithms.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod config;

#[doc(inline)]
pub use esker_log::{
    BUFFER_BYTES_DEFAULT, BUFFERS_DEFAULT, Corruption, CorruptionKind, DamageKind, Epoch, Error, ErrorKind, FileOffset,
    Iter, Log, LogId, LogReader, LogStat, LostRange, Lsn, MessageInfo, MessageKind, Messages, OnDamage,
    OpenReservation, Options, Poison, Record, RecordRef, RecoveryNote, RecoveryReport, Repair, RepairStep, Reservation,
    SEGMENT_BYTES_DEFAULT, SalvageReport, ScrubStats, SegmentBytes, SegmentId, Stats, Ticket, TornTail, Truncation,
    UNSYNCED_BYTES_MAX_DEFAULT, VerifyReport, YIELD_MAX_DEFAULT, format, storage,
    storage::{Access, FileStorage, LockError, MemStorage, Storage, StorageFile, StorageLock},
};

pub use crate::config::Config;
