//! The simulated disk as a storage.
//!
//! Owns the handles. Refuses arguments that the contract refuses, before the disk sees them, and to wait for anything:
//! that is the course's business.

use std::{
    borrow::Cow,
    io::{self, IoSlice},
    sync::Arc,
};

use esker_storage::{Access, LockError, Storage, StorageFile, StorageLock, check_name, check_range};

use crate::{
    counts::{Counts, Kind},
    course::Course,
    damage::{AtRest, Damage},
    directory::FileId,
    disk::Disk,
    faults::{Faults, Probability},
    history::Path,
    pace::{Pace, Threads},
};

/// A simulated disk holding one directory. A clone is another handle on the same disk.
///
/// See the [crate's documentation](crate) for what it may lose and how it may fail.
///
/// # Example
///
/// Whatever the disk makes of an overwrite that was not synced, each sector is the old one or the new one:
///
/// ```
/// use esker_sim::{Faults, SECTOR_BYTES, SimStorage};
/// use esker_storage::{Access, Storage};
///
/// # fn main() -> std::io::Result<()> {
/// let disk = SimStorage::new(7, Faults::default());
/// let file = disk.create("file")?;
/// file.write_all_at(&[b'o'; 4 * SECTOR_BYTES], 0)?;
/// file.sync_data()?;
/// disk.sync_dir()?;
/// file.write_all_at(&[b'n'; 4 * SECTOR_BYTES], 0)?;
///
/// for seed in 0..50 {
///     let mut bytes = [0; 4 * SECTOR_BYTES];
///     disk.after_crash(seed).open("file", Access::Read)?.read_exact_at(&mut bytes, 0)?;
///     for sector in bytes.chunks(SECTOR_BYTES) {
///         assert!(sector == [b'o'; SECTOR_BYTES] || sector == [b'n'; SECTOR_BYTES]);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SimStorage {
    course: Arc<Course>,
}

#[derive(Debug)]
struct SimFile {
    course: Arc<Course>,
    id: FileId,
    access: Access,
    /// Under which it was opened, for error messages.
    name: String,
}

#[derive(Debug)]
struct SimLock {
    course: Arc<Course>,
    id: FileId,
}

impl SimStorage {
    /// An empty disk. The seed decides which calls fail, where `faults` leave it to chance.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self::with_pace(seed, faults, Arc::new(Threads::default()))
    }

    /// As [`new`](Self::new), on which slow and hung calls wait as `pace` says; and so they do on every disk that is made
    /// of this one.
    #[must_use]
    pub fn with_pace(seed: u64, faults: Faults, pace: Arc<dyn Pace>) -> Self {
        Self { course: Arc::new(Course::new(Disk::new(seed, faults), pace)) }
    }

    fn holding(&self, disk: Disk) -> Self {
        Self { course: Arc::new(self.course.of(disk)) }
    }

    /// Cuts the power. Every later call on this disk fails, and so does every call that is slow or hung at this moment.
    pub fn crash(&self) {
        self.course.disk().crash();
        self.course.wake();
    }

    /// Lets all calls go on that hang at this moment. Later ones hang as [`Faults::hung`] says.
    pub fn release_hung(&self) {
        self.course.disk().stalls().release();
        self.course.wake();
    }

    /// How many calls hang at this moment.
    #[must_use]
    pub fn hanging(&self) -> u64 {
        self.course.disk().stalls().hanging()
    }

    /// Kills the process while the machine goes on: every later call on *this* storage fails, as after
    /// [`crash`](Self::crash). The storage that is returned is the same disk as the next process finds it: everything is
    /// there, no lock is held, and what was un-synced is un-synced still, so that a later power cut may lose it.
    #[must_use]
    pub fn kill(&self) -> Self {
        let next = {
            let mut disk = self.course.disk();
            let next = disk.handed_over();
            disk.crash();
            next
        };
        self.course.wake();
        self.holding(next)
    }

    /// The disk as it is at this moment, with all that is un-synced, as a disk of its own: what happens to one of them from
    /// now on does not happen to the other. Handles and locks stay with this one. So a run can go on while what a crash
    /// would have left is looked at later, once the outcome of every call is known.
    ///
    /// Complexity: linear in the number of sectors that were ever written.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        self.holding(self.course.disk().handed_over())
    }

    /// Whether the power is still on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.course.disk().is_on()
    }

    /// What a power cut leaves, as a new disk without faults, on which everything is durable and nothing locked: the cut
    /// that happened, or, if the power is on, one at this moment. This disk is not changed, and each seed gives one of
    /// the possible outcomes, always the same.
    ///
    /// Complexity: linear in the number of sectors that were ever written.
    #[must_use]
    pub fn after_crash(&self, seed: u64) -> Self {
        self.after_crash_with(seed, Faults::default())
    }

    /// Like [`after_crash`](Self::after_crash), with faults for the new disk, whose generator the seed decides too.
    #[must_use]
    pub fn after_crash_with(&self, seed: u64, faults: Faults) -> Self {
        self.holding(self.course.disk().survivor(seed, faults))
    }

    /// All that a power cut at this moment may leave, one after the other: every combination of what may survive. Noise
    /// ([`Faults::garbage`]) is not among them.
    ///
    /// For small runs: the number of images is the product of the possible contents of each un-synced sector and length
    /// and of two for each un-synced change of the directory. Each takes as long as [`after_crash`](Self::after_crash).
    ///
    /// ```
    /// use esker_sim::{Faults, SECTOR_BYTES, SimStorage};
    /// use esker_storage::Storage;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let disk = SimStorage::new(1, Faults::default());
    /// let file = disk.create("file")?;
    /// disk.sync_dir()?;
    /// file.write_all_at(&[1; 2 * SECTOR_BYTES], 0)?;
    /// // Each sector is there or not, and so is the length.
    /// assert_eq!(disk.crash_images().count(), 8);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn crash_images(&self) -> CrashImages {
        let mut disk = self.course.disk().clone();
        disk.faults.garbage = Probability::NEVER;
        CrashImages { of: self.holding(disk), next: Some(Path::default()) }
    }

    /// The faults in force.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.course.disk().faults.clone()
    }

    /// Changes the faults from now on, for instance to make room on a full disk. Calls go on being counted from where
    /// they were.
    pub fn set_faults(&self, faults: Faults) {
        self.course.disk().faults = faults;
    }

    /// How often each kind of call was made so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.course.disk().counts()
    }

    /// What was damaged so far, oldest first: by calls, as [`Faults`] say, and at rest. Disks that are made of this one go on
    /// with a copy of the list.
    ///
    /// This is what was done, and not what still shows: a sector that is written anew is whole again, and an un-synced write
    /// that was lost may be lost once more in a power cut.
    #[must_use]
    pub fn damages(&self) -> Vec<Damage> {
        self.course.disk().damages().to_vec()
    }

    /// Damages one place now, for good and beneath what is un-synced, which the seed draws from all files that have a name and a length, or from the file
    /// `within`. Returns what was done: nothing if there is no such place, or if it holds the same afterwards.
    ///
    /// For tests of damage at rest: close the store, damage its disk or a [snapshot](Self::snapshot), open it again, and
    /// compare.
    ///
    /// ```
    /// use esker_sim::{AtRest, Faults, SimStorage};
    /// use esker_storage::{Access, Storage};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let disk = SimStorage::new(1, Faults::default());
    /// let file = disk.create("file")?;
    /// file.write_all_at(&[7; 2000], 0)?;
    /// file.sync_data()?;
    /// for seed in 0..10 {
    ///     let copy = disk.snapshot();
    ///     let damage = &copy.damage(seed, AtRest::BitFlip, None)[0];
    ///     let mut bytes = [0; 2000];
    ///     copy.open("file", Access::Read)?.read_exact_at(&mut bytes, 0)?;
    ///     assert_eq!(bytes.iter().position(|&byte| byte != 7), Some(damage.offset as usize));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn damage(&self, seed: u64, how: AtRest, within: Option<&str>) -> Vec<Damage> {
        self.course.disk().damage_at_rest(seed, how, within)
    }

    fn handle(&self, id: FileId, access: Access, name: &str) -> Arc<dyn StorageFile> {
        Arc::new(SimFile { course: Arc::clone(&self.course), id, access, name: name.to_owned() })
    }
}

/// All outcomes of one power cut: see [`SimStorage::crash_images`].
#[derive(Debug)]
pub struct CrashImages {
    of: SimStorage,
    /// The way to the next image; `None` at the end.
    next: Option<Path>,
}

impl Iterator for CrashImages {
    type Item = SimStorage;

    fn next(&mut self) -> Option<SimStorage> {
        let (left, mut path) = self.of.course.disk().survivor_of(self.next.take()?);
        self.next = path.advance().then_some(path);
        Some(self.of.holding(left))
    }
}

impl Storage for SimStorage {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        check_name(name)?;
        let id = self.course.call(Kind::Create, |disk| !disk.has(name), |disk| disk.create(name))?;
        Ok(self.handle(id, Access::ReadWrite, name))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        check_name(name)?;
        let id = self.course.call(Kind::Open, |disk| disk.has(name), |disk| disk.open(name))?;
        Ok(self.handle(id, access, name))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        self.course.call(Kind::Remove, |disk| disk.has(name), |disk| disk.remove(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        self.course.call(Kind::Rename, |disk| disk.has(from) && from != to, |disk| disk.rename(from, to))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.course.call(Kind::List, |_| true, Disk::list)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.course.call(Kind::DirSync, |_| true, Disk::sync_dir)
    }

    fn lock(&self, name: &str) -> Result<Box<dyn StorageLock>, LockError> {
        check_name(name)?;
        let id = self.course.call(Kind::Lock, |_| true, |disk| disk.lock(name))?;
        Ok(Box::new(SimLock { course: Arc::clone(&self.course), id }))
    }
}

impl StorageLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.course.disk().unlock(self.id);
    }
}

impl SimFile {
    fn check_writable(&self) -> io::Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::Read => {
                let message = format!("the file '{}' was opened for reading only", self.name);
                Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
            }
        }
    }

    /// A call that nothing but the power refuses.
    fn call<T>(&self, kind: Kind, effect: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        self.course.call(kind, |_| true, effect)
    }

    fn sync(&self, kind: Kind) -> io::Result<()> {
        self.check_writable()?;
        self.call(kind, |disk| disk.sync(kind, self.id, &self.name))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.course.disk().close(self.id);
    }
}

impl StorageFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.call(Kind::Len, |disk| disk.len(self.id, &self.name))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        check_range(0, len)?;
        self.call(Kind::SetLen, |disk| disk.set_len(self.id, &self.name, len))
    }

    fn read_at(&self, dst: &mut [u8], offset: u64) -> io::Result<usize> {
        self.call(Kind::Read, |disk| disk.read(self.id, &self.name, dst, offset))
    }

    fn write_all_at(&self, src: &[u8], offset: u64) -> io::Result<()> {
        self.check_writable()?;
        check_range(offset, src.len() as u64)?;
        if src.is_empty() {
            return Ok(());
        }
        self.call(Kind::Write, |disk| disk.write(self.id, &self.name, src, offset))
    }

    /// One call, like a plain write: it is counted once, fails once, and the power fails in it once.
    fn write_all_vectored_at(&self, srcs: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let joined = match srcs {
            [src] => Cow::Borrowed(&**src),
            srcs => Cow::Owned(srcs.iter().flat_map(|src| src.iter().copied()).collect()),
        };
        self.write_all_at(&joined, offset)
    }

    fn preallocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.check_writable()?;
        let end = check_range(offset, len)?;
        if len == 0 {
            return Ok(());
        }
        self.call(Kind::Preallocate, |disk| disk.preallocate(self.id, &self.name, offset, end))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(Kind::DataSync)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(Kind::FullSync)
    }
}
