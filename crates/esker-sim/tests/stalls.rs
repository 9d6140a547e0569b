//! Slow and hung calls: who waits, who does not, and what ends it.

use std::{
    io,
    sync::{Arc, Condvar, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use esker_sim::{Calls, Failures, Faults, Pace, Probability, SECTOR_BYTES, SimStorage, is_injected, is_power_off};
use esker_storage::{Access, LockError, Storage, StorageFile, conformance};

/// As long as a test may take that hangs by mistake.
const PATIENCE: Duration = Duration::from_secs(30);

fn hung(hung: Calls) -> Faults {
    Faults { hung, ..Faults::default() }
}

/// Waits until so many calls hang.
fn await_hanging(disk: &SimStorage, calls: u64) {
    let began = Instant::now();
    while disk.hanging() != calls {
        assert!(began.elapsed() < PATIENCE, "{} calls hang instead of {calls}", disk.hanging());
        thread::sleep(Duration::from_micros(50));
    }
}

fn content(disk: &SimStorage, name: &str) -> Vec<u8> {
    let file = disk.open(name, Access::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// A file that is synced with its name, on a disk whose calls hang from now on as `calls` says, counted from now.
fn disk_with_file(seed: u64, calls: Calls) -> (SimStorage, Arc<dyn StorageFile>) {
    let disk = SimStorage::new(seed, Faults::default());
    let file = disk.create("a").unwrap();
    file.write_all_at(b"old", 0).unwrap();
    file.sync_all().unwrap();
    disk.sync_dir().unwrap();
    disk.set_faults(hung(calls));
    (disk, file)
}

type Caller = Box<dyn FnOnce(&SimStorage, &dyn StorageFile) -> io::Result<()> + Send>;

/// One call of each kind, and which calls are to hang for it to do so.
fn each_kind() -> Vec<(&'static str, Calls, Caller)> {
    let always = Failures::since(0);
    let none = Calls::NONE;
    let dir = Calls { dir: always, ..none };
    let call = |call: fn(&SimStorage, &dyn StorageFile) -> io::Result<()>| -> Caller { Box::new(call) };
    vec![
        ("read", Calls { read: always, ..none }, call(|_, file| file.read_at(&mut [0; 3], 0).map(drop))),
        ("write", Calls { write: always, ..none }, call(|_, file| file.write_all_at(b"new", 0))),
        ("len", Calls { len: always, ..none }, call(|_, file| file.len().map(drop))),
        ("set_len", Calls { length: always, ..none }, call(|_, file| file.set_len(9))),
        ("preallocate", Calls { length: always, ..none }, call(|_, file| file.preallocate(0, 9))),
        ("sync_data", Calls { sync: always, ..none }, call(|_, file| file.sync_data())),
        ("sync_all", Calls { sync: always, ..none }, call(|_, file| file.sync_all())),
        ("sync_dir", Calls { dir_sync: always, ..none }, call(|disk, _| disk.sync_dir())),
        ("create", dir, call(|disk, _| disk.create("b").map(drop))),
        ("open", dir, call(|disk, _| disk.open("a", Access::Read).map(drop))),
        ("rename", dir, call(|disk, _| disk.rename("a", "b"))),
        ("remove", dir, call(|disk, _| disk.remove("a"))),
        ("list", dir, call(|disk, _| disk.list().map(drop))),
        (
            "lock",
            dir,
            call(|disk, _| match disk.lock("lock") {
                Ok(_) => Ok(()),
                Err(LockError::Io(error)) => Err(error),
                Err(other) => panic!("{other:?}"),
            }),
        ),
    ]
}

fn start(disk: &SimStorage, file: &Arc<dyn StorageFile>, caller: Caller) -> JoinHandle<io::Result<()>> {
    let (disk, file) = (disk.clone(), file.clone());
    thread::spawn(move || caller(&disk, file.as_ref()))
}

#[test]
fn each_kind_of_call_hangs_until_it_is_released_and_then_succeeds() {
    for seed in 0..4 {
        for (kind, calls, caller) in each_kind() {
            let (disk, file) = disk_with_file(seed, calls);
            let caller = start(&disk, &file, caller);
            await_hanging(&disk, 1);
            assert!(!caller.is_finished(), "{kind}");
            assert_eq!(disk.counts().hangs, 1, "{kind}");
            disk.release_hung();
            caller.join().unwrap().unwrap_or_else(|error| panic!("{kind}: {error}"));
            assert_eq!(disk.hanging(), 0, "{kind}");
        }
    }
}

#[test]
fn calls_that_come_meanwhile_do_not_hang_with_it() {
    for (kind, calls, caller) in each_kind() {
        let (disk, file) = disk_with_file(1, calls);
        let caller = start(&disk, &file, caller);
        await_hanging(&disk, 1);
        // The same kinds too, once they are not told to hang.
        disk.set_faults(Faults::default());
        let other = disk.create("other").unwrap();
        other.write_all_at(b"other", 0).unwrap();
        other.sync_data().unwrap();
        disk.sync_dir().unwrap();
        let mut bytes = [0; 3];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(content(&disk, "other"), b"other", "beside a hung {kind}");
        assert!(!caller.is_finished(), "{kind}");
        disk.release_hung();
        caller.join().unwrap().unwrap();
    }
}

#[test]
fn a_power_cut_ends_every_hang() {
    for (kind, calls, caller) in each_kind() {
        let (disk, file) = disk_with_file(1, calls);
        let caller = start(&disk, &file, caller);
        await_hanging(&disk, 1);
        disk.crash();
        assert!(is_power_off(&caller.join().unwrap().unwrap_err()), "{kind}");
    }
    // One in the middle of another call as well, and the end of the process.
    let (disk, file) = disk_with_file(1, Calls { read: Failures::since(0), ..Calls::NONE });
    let reader = start(&disk, &file, Box::new(|_, file| file.read_at(&mut [0; 3], 0).map(drop)));
    await_hanging(&disk, 1);
    disk.set_faults(Faults { crash_after_ops: Some(0), ..Faults::default() });
    assert!(is_power_off(&file.sync_data().unwrap_err()));
    assert!(is_power_off(&reader.join().unwrap().unwrap_err()));

    let (disk, file) = disk_with_file(1, Calls { read: Failures::since(0), ..Calls::NONE });
    let reader = start(&disk, &file, Box::new(|_, file| file.read_at(&mut [0; 3], 0).map(drop)));
    await_hanging(&disk, 1);
    let next = disk.kill();
    assert!(is_power_off(&reader.join().unwrap().unwrap_err()));
    assert_eq!(next.hanging(), 0);
    next.set_faults(Faults::default());
    assert_eq!(content(&next, "a"), b"old");
}

/// What a hung call does may have happened already, or not: both are seen, and neither is durable before its time.
#[test]
fn a_hung_call_takes_effect_before_it_hangs_or_after() {
    let (mut early, mut late) = (0, 0);
    for seed in 0..40 {
        let (disk, file) = disk_with_file(seed, Calls { write: Failures::since(0), ..Calls::NONE });
        let writer = start(&disk, &file, Box::new(|_, file| file.write_all_at(b"new", 0)));
        await_hanging(&disk, 1);
        match &content(&disk, "a")[..] {
            b"old" => late += 1,
            b"new" => early += 1,
            other => panic!("{other:?}"),
        }
        disk.release_hung();
        writer.join().unwrap().unwrap();
        assert_eq!(content(&disk, "a"), b"new");
    }
    assert!(early > 5 && late > 5, "{early} early, {late} late");
}

#[test]
fn a_hung_sync_covers_nothing_for_certain_until_it_returns() {
    let mut found = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let (disk, file) = disk_with_file(seed, Calls { sync: Failures::nth(1), ..Calls::NONE });
        file.write_all_at(b"new", 0).unwrap();
        let syncer = start(&disk, &file, Box::new(|_, file| file.sync_data()));
        await_hanging(&disk, 1);
        found.extend((0..20).map(|seed| content(&disk.after_crash(seed), "a")));
        disk.release_hung();
        syncer.join().unwrap().unwrap();
        assert!((0..20).all(|seed| content(&disk.after_crash(seed), "a") == b"new"), "it returned");
    }
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn only_the_chosen_call_hangs_and_calls_refused_by_the_contract_do_not() {
    let (disk, file) = disk_with_file(0, Calls { write: Failures::nth(2), ..Calls::NONE });
    file.write_all_at(b"1", 0).unwrap();
    let writer = start(&disk, &file, Box::new(|_, file| file.write_all_at(b"2", 0)));
    await_hanging(&disk, 1);
    file.write_all_at(b"3", 0).unwrap();
    disk.release_hung();
    writer.join().unwrap().unwrap();

    disk.set_faults(hung(Calls { dir: Failures::since(0), ..Calls::NONE }));
    disk.create("a").unwrap_err();
    disk.open("absent", Access::Read).unwrap_err();
    disk.remove("absent").unwrap_err();
    disk.rename("absent", "b").unwrap_err();
    disk.rename("a", "a").unwrap();
}

#[test]
fn a_call_that_hangs_fails_afterwards_if_it_is_to_fail() {
    for seed in 0..4 {
        let (disk, file) = disk_with_file(seed, Calls::NONE);
        let all = Failures::since(0);
        let calls = Calls { sync: all, ..Calls::NONE };
        disk.set_faults(Faults { sync_error: all, ..hung(calls) });
        let syncer = start(&disk, &file, Box::new(|_, file| file.sync_data()));
        await_hanging(&disk, 1);
        disk.release_hung();
        assert!(is_injected(&syncer.join().unwrap().unwrap_err()));
    }
}

/// A pace of a test's own, as a scheduler would be.
#[derive(Debug, Default)]
struct Counting {
    ticks: Mutex<u64>,
    sleeps: Mutex<u64>,
    woken: Condvar,
}

impl Pace for Counting {
    fn tick(&self) {
        *self.ticks.lock().unwrap() += 1;
    }

    fn sleep_until(&self, is_over: &dyn Fn() -> bool) {
        let mut sleeps = self.sleeps.lock().unwrap();
        *sleeps += 1;
        while !is_over() {
            sleeps = self.woken.wait(sleeps).unwrap();
        }
    }

    fn wake(&self) {
        drop(self.sleeps.lock().unwrap());
        self.woken.notify_all();
    }
}

fn slow(slow: Calls, slow_ticks_max: u32) -> Faults {
    Faults { slow, slow_ticks_max, ..Faults::default() }
}

#[test]
fn slow_calls_take_ticks_of_the_pace_and_are_counted() {
    let pace = Arc::new(Counting::default());
    let disk = SimStorage::with_pace(3, slow(Calls { write: Failures::since(1), ..Calls::NONE }, 10), pace.clone());
    let file = disk.create("a").unwrap();
    file.write_all_at(b"fast", 0).unwrap();
    assert_eq!((*pace.ticks.lock().unwrap(), disk.counts().ticks), (0, 0));
    let mut taken = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let before = disk.counts().ticks;
        file.write_all_at(b"slow", 0).unwrap();
        file.sync_data().unwrap();
        taken.insert(disk.counts().ticks - before);
    }
    assert_eq!(taken, (1..=10).collect());
    assert_eq!(*pace.ticks.lock().unwrap(), disk.counts().ticks);
    // Disks that are made of it have the same pace.
    let left = disk.after_crash_with(1, slow(Calls::each(Failures::since(0)), 1));
    let before = *pace.ticks.lock().unwrap();
    left.list().unwrap();
    assert_eq!(*pace.ticks.lock().unwrap(), before + 1);
}

#[test]
fn a_hung_call_sleeps_as_the_pace_says() {
    let pace = Arc::new(Counting::default());
    let disk = SimStorage::with_pace(3, hung(Calls { dir: Failures::nth(1), ..Calls::NONE }), pace.clone());
    let file = disk.create("a").unwrap();
    let lister = start(&disk, &file, Box::new(|disk, _| disk.list().map(drop)));
    await_hanging(&disk, 1);
    assert_eq!(*pace.sleeps.lock().unwrap(), 1);
    disk.release_hung();
    lister.join().unwrap().unwrap();
}

/// The effect of a slow call falls at any of its ticks: a pace that looks sees the file before and after.
#[test]
fn a_slow_call_takes_effect_at_any_of_its_ticks() {
    #[derive(Debug)]
    struct Looking {
        disk: Mutex<Option<Arc<dyn StorageFile>>>,
        seen: Mutex<Vec<u8>>,
    }
    impl Pace for Looking {
        fn tick(&self) {
            let Some(file) = self.disk.lock().unwrap().clone() else { return };
            let mut byte = [0];
            file.read_at(&mut byte, 0).unwrap();
            self.seen.lock().unwrap().push(byte[0]);
        }
        fn sleep_until(&self, _: &dyn Fn() -> bool) {
            panic!("nothing hangs");
        }
        fn wake(&self) {}
    }
    let mut patterns = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let pace = Arc::new(Looking { disk: Mutex::new(None), seen: Mutex::new(Vec::new()) });
        let disk = SimStorage::with_pace(seed, Faults::default(), pace.clone());
        let file = disk.create("a").unwrap();
        file.write_all_at(b"o", 0).unwrap();
        *pace.disk.lock().unwrap() = Some(file.clone());
        disk.set_faults(slow(Calls { write: Failures::since(0), ..Calls::NONE }, 2));
        file.write_all_at(b"n", 0).unwrap();
        *pace.disk.lock().unwrap() = None;
        patterns.insert(pace.seen.lock().unwrap().clone());
    }
    let all = [&b"o"[..], b"n", b"oo", b"on", b"nn"].map(<[u8]>::to_vec);
    assert_eq!(patterns, all.into());
}

#[test]
fn a_slow_disk_conforms() {
    conformance::run(&|| Arc::new(SimStorage::new(0, slow(Calls::each(Failures::since(0)), 3))));
}

#[test]
fn the_same_seed_and_calls_are_slow_in_the_same_way() {
    let run = |seed| {
        let chosen = Failures::with(Probability::one_in(3));
        let faults = Faults { write_error: chosen, ..slow(Calls::each(chosen), 7) };
        let disk = SimStorage::new(seed, faults);
        let file = disk.create("a").unwrap();
        let wrote: Vec<bool> = (0..50).map(|i| file.write_all_at(&[i; 2 * SECTOR_BYTES], 0).is_ok()).collect();
        (wrote, disk.counts())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
