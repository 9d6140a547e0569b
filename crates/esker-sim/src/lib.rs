//! A simulated disk that loses, tears and reorders what was not synced, fails on demand, and can be asked again and again
//! what a power cut would leave behind.
//!
//! Owns [`SimStorage`], an implementation of [`esker_storage::Storage`] in memory, its fault model, and the seeds that
//! make every run repeatable. Refuses to be part of a shipped program, and to know what is stored on it: it serves any
//! store that can be put on the trait.
//!
//! # Fault model
//!
//! ## What a power cut leaves
//!
//! Memory and disk are told apart. A call is seen at once by every reader, and is *un-synced* until a sync covers it. At a
//! power cut each of the following facts is decided by itself, in no order:
//!
//! - **Sectors.** Data is kept in sectors of [`SECTOR_BYTES`] bytes. A sector that was written *n* times since it was last
//!   synced holds one of *n + 1* contents: the synced one, or what it was after any of the writes. Sectors are never torn
//!   inside; a write that spans several may be torn at each of their borders, and a later write may survive where an
//!   earlier one did not.
//! - **Lengths.** The length of a file is the synced one, or what it was after any later change. It is independent of the
//!   data: a surviving length over lost data reads as the old bytes, or as zeros where there were none; surviving data
//!   beyond the surviving length is gone. Bytes that a [`set_len`](esker_storage::StorageFile::set_len) cut off may come
//!   back, or be zeros, sector by sector.
//! - **Directory entries.** Each un-synced creation, removal and rename happened or did not. A file whose creation is lost
//!   is gone with all its data, synced or not; a rename is never half done; a file never has two names.
//!
//! What was synced stays: the data and length of a file when `sync_data` or `sync_all` began, the entries when `sync_dir`
//! began. Syncing a file does not sync its entry, and syncing the directory syncs no data.
//!
//! How the facts are decided is a [`Survival`]; by default the seed draws one. With [`Faults::garbage`] an un-synced
//! sector may also come back as noise. This breaks the promise for synced bytes that share a sector with un-synced ones,
//! as disks do that cannot finish a sector when the power fails.
//!
//! ## What can fail
//!
//! Any call, as [`Faults`] says: once, from some call on, or with a probability.
//!
//! - A write that fails has written any part of its range.
//! - **A failed sync drops data**, as Linux does: each un-synced sector, and the length, may have reached the disk or not,
//!   and is regarded as clean from then on. Reads still see it; a later sync succeeds and does not write it; only writing
//!   it again helps. The same holds for the entries after a failed `sync_dir`.
//! - A full disk fails with [`StorageFull`](std::io::ErrorKind::StorageFull), after writing what fits. What was
//!   preallocated always fits.
//! - The power may be cut in the middle of any changing call ([`Faults::crash_after_ops`]); whatever the call did is then
//!   un-synced. From then on every call fails ([`is_power_off`]) and no lock is held.
//! - A call may be slow ([`Faults::slow`]) or hang ([`Faults::hung`]) until [`SimStorage::release_hung`]. It takes effect at
//!   one moment of that time, which is drawn; calls that come meanwhile do not wait for it. How it waits is a [`Pace`]: by
//!   default a slow call yields its core and a hung one sleeps; a test with a scheduler of its own brings it in there. A
//!   power cut ends every wait, and the call fails.
//! - Damage that no call reports, a run of sectors or one bit at a time: bits rot ([`Faults::bit_rot`]), writes are lost
//!   ([`Faults::lost_write`]) or go to another place ([`Faults::misdirected_write`]), reads come from one
//!   ([`Faults::misdirected_read`]); and at rest, when a test wants it ([`SimStorage::damage`]). All of it is on record
//!   ([`SimStorage::damages`]). No store is whole after that; the question is whether it says so.
//! - The disk may lie ([`Faults::ignore_sync`], [`Faults::ignore_sync_dir`]): it reports a sync and does nothing. No store
//!   survives that; the switches are there to show that a crash test would notice a missing sync.
//!
//! Not modelled: clocks (a slow call lets others run before it, and takes no time), entries of the directory that go bad,
//! damage to lengths, and operations on other directories.
//!
//! # Invariants
//!
//! - **D1 (replay):** the same seed, faults and sequence of calls give the same answers and the same crash images. With
//!   several threads, the sequence is the order in which calls arrive at the disk and, where they wait there, the order in
//!   which they take effect.
//! - **D2 (synced stays):** without garbage, lies and damage, no crash image contradicts a sync that returned `Ok`.
//! - **D3 (nothing from nowhere):** without garbage, lies and damage, a byte in a crash image was at that place of that
//!   file at some time since its last sync, or is zero where nothing was.
//!
//! Damage breaks the last two in the bytes of which [`SimStorage::damages`] speaks, and nowhere else. A lost write, and
//! what a misdirected one should have replaced, is older than the last sync that should have covered it. Where a misdirected
//! write went, and where bits rotted or a disk was damaged at rest, are bytes that were never written there. A misdirected
//! read breaks neither: it is wrong once.
//!
//! # Example
//!
//! A file that was synced, in a directory that was not:
//!
//! ```
//! use esker_sim::{Faults, SimStorage};
//! use esker_storage::Storage;
//!
//! # fn main() -> std::io::Result<()> {
//! let disk = SimStorage::new(1, Faults::default());
//! let file = disk.create("precious")?;
//! file.write_all_at(b"bytes", 0)?;
//! file.sync_all()?;
//! disk.crash();
//!
//! // The same crash may end in several ways.
//! let lost = (0..100).filter(|&seed| disk.after_crash(seed).list().unwrap().is_empty()).count();
//! assert!(lost > 0 && lost < 100);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod content;
mod counts;
mod course;
mod damage;
mod directory;
mod disk;
mod error;
mod faults;
mod history;
mod pace;
mod ranges;
mod rng;
mod stall;
mod storage;

pub use crate::{
    content::SECTOR_BYTES,
    counts::Counts,
    damage::{AtRest, Damage, DamageKind},
    error::{SimError, is_injected, is_power_off},
    faults::{Calls, Failures, Faults, Probability, Survival},
    pace::Pace,
    storage::{CrashImages, SimStorage},
};
