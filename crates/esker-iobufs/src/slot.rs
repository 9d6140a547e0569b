//! One buffer of the ring: its word, where its bytes belong, and its memory.
//!
//! Owns the claims: who may touch which range of the memory, and when. Refuses to know about other buffers, about
//! segments and about I/O.
//!
//! A buffer's bytes end where its memory ends: one that takes fewer bytes than the memory has begins later. So the limit
//! of a claim is a constant, and the word alone decides a claim (H4 of `esker-header`).

use std::ops::Range;

use crossbeam_utils::CachePadded;
use esker_format::{FileOffset, Lsn};
use esker_header::{BufferOffset, Header, Refusal, Room};

use crate::{
    OpenReservation,
    held::{self, Held, HeldList},
    memory::BufferMemory,
    readers::Readers,
    sync::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

/// What a buffer holds in one life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The LSN of its first byte.
    pub(crate) lsn: Lsn,
    /// Where that byte belongs in the file.
    pub(crate) file: FileOffset,
    /// How many bytes it takes at most.
    pub(crate) bytes: u32,
    /// Whether it ends where its segment ends.
    pub(crate) ends_segment: bool,
}

#[derive(Debug)]
pub(crate) struct Slot {
    line: CachePadded<Line>,
    memory: BufferMemory,
    room: Room,
    pub(crate) readers: Readers,
    held: HeldList,
}

/// What every claim touches, on a cache line of its own.
#[derive(Debug)]
struct Line {
    word: AtomicU64,
    /// The LSN that the first byte of the *memory* would have. May wrap around below zero: only sums with an offset
    /// inside the buffer's bytes mean anything.
    base: AtomicU64,
    /// The same for the file.
    file_base: AtomicU64,
    /// Where the buffer's bytes begin in the memory.
    start: AtomicU32,
    /// Up to where the memory was claimed when the buffer was opened: `start`, or the end of a segment header there.
    opened: AtomicU32,
    /// Whether the buffer ends where its segment ends.
    ends_segment: AtomicBool,
    /// Whether a pad is to fill it to its end. Decided when it is sealed.
    padded: AtomicBool,
}

/// A claimed range: the proof that its holder is counted as a writer.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) range: Range<u32>,
    pub(crate) lsn: Lsn,
}

/// How a writer finds the buffer that it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// More may be claimed.
    Open,
    /// It is sealed, and others are still filling it.
    Sealed,
    /// It became ready by this, so that this thread must have it written.
    Ready,
}

impl Slot {
    /// A buffer in no life: sealed and without writers, so that it can only be opened.
    pub(crate) fn new(room: Room) -> Self {
        let idle = Header::open(BufferOffset::ZERO).seal().expect("an open word can be sealed");
        Self {
            line: CachePadded::new(Line {
                word: AtomicU64::new(idle.to_bits()),
                base: AtomicU64::new(0),
                file_base: AtomicU64::new(0),
                start: AtomicU32::new(0),
                opened: AtomicU32::new(0),
                ends_segment: AtomicBool::new(false),
                padded: AtomicBool::new(false),
            }),
            memory: BufferMemory::new(room.end.get() as usize),
            room,
            readers: Readers::new(),
            held: HeldList::new(),
        }
    }

    /// Claims `bytes` for one writer. Lock-free; a swap that fails means that another thread's claim succeeded.
    #[inline]
    pub(crate) fn claim(&self, bytes: u32) -> Result<Claim, Refusal> {
        let word = &self.line.word;
        // ORDERING: Relaxed: only a guess, which the swap below confirms or refutes.
        let mut bits = word.load(Ordering::Relaxed);
        loop {
            let (claimed, at) = Header::from_bits(bits).try_reserve(bytes, self.room)?;
            // ORDERING: Acquire pairs with the Release in `open` [P1]: the place of this life and the memory, handed over
            // by whoever wrote the last life out, are seen. Nothing is published by a claim, hence no
            // Release; and Relaxed on failure, because the word that was found is again only a guess.
            match word.compare_exchange_weak(bits, claimed.to_bits(), Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => {
                    // Read only now: the swap counts us, so this life cannot end before we leave.
                    // ORDERING: Relaxed: published by the word [P1].
                    let base = self.line.base.load(Ordering::Relaxed);
                    let lsn = Lsn::new(base.wrapping_add(u64::from(at.get())));
                    return Ok(Claim { range: at.get()..claimed.offset().get(), lsn });
                }
                Err(seen) => bits = seen,
            }
        }
    }

    /// The bytes of a claim, to fill.
    #[inline]
    #[expect(unsafe_code, reason = "the claim is the proof that the memory module asks for")]
    pub(crate) fn bytes_of<'a>(&'a self, claim: &'a mut Claim) -> &'a mut [u8] {
        // SAFETY: I2 (exclusive ranges): the swap in `claim` moved the offset over exactly this range, offsets only grow
        // within a life, and the life lasts until this writer has left; so no other claim, nor the pad (which begins at
        // the final offset), overlaps it, and the exclusive borrow of the claim excludes a second slice. Readers stay off
        // it: this writer is counted, so that they either wait for it or know its range (`settled`, `held_at`). P1 makes earlier accesses
        // happen before. In bounds: `try_reserve` checked the end against the room. A claim made by `take_leaked` is the
        // only one that is left of its range: that is what its caller vouches for.
        unsafe { self.memory.range_mut(claim.range.clone()) }
    }

    /// Ends a writer's stay, and with it the claim.
    #[inline]
    #[must_use]
    pub(crate) fn leave(&self, _claim: Claim) -> Left {
        // ORDERING: AcqRel. Release publishes the bytes this writer filled; pairs with the Acquire of the last leave and of
        // `seal`, one of which finds the buffer ready, and of `settled` and `held_at` [P2]. Acquire is that other side.
        let before = self.line.word.fetch_sub(Header::ONE_WRITER, Ordering::AcqRel);
        let before = Header::from_bits(before);
        debug_assert!(before.writers() > 0, "a writer left that was not counted: {before:?}");
        if !before.is_sealed() {
            Left::Open
        } else if before.writers() == 1 {
            Left::Ready
        } else {
            Left::Sealed
        }
    }

    /// Lists the claim of a reservation.
    pub(crate) fn list(&self, held: Held) {
        held::add(&mut self.held.lock(), held);
    }

    /// Strikes off the reservation of a claim, which is about to leave.
    pub(crate) fn strike(&self, claim: &Claim) {
        held::strike(&mut self.held.lock(), claim.range.start);
    }

    /// Where the first open reservation begins, if the buffer is sealed and everybody who still fills it holds one: all
    /// below is final then, and stays so for this life. The caller made sure that the life goes on.
    pub(crate) fn held_at(&self) -> Option<u32> {
        let list = self.held.lock();
        let first = list.first()?.range.start;
        let header = self.word_of_all_who_left();
        // All who have claimed below are listed or have left (I9). Nobody waits for a buffer that is not sealed.
        (header.is_sealed() && header.writers() as usize == list.len()).then_some(first)
    }

    /// The word, by someone who is to look at what those have filled who are not counted any more.
    fn word_of_all_who_left(&self) -> Header {
        // ORDERING: Acquire pairs with the Release in `leave` [P2]: the bytes of all who have left are seen.
        Header::from_bits(self.line.word.load(Ordering::Acquire))
    }

    /// What is known of the open reservations here.
    pub(crate) fn open_reservations(&self) -> Vec<OpenReservation> {
        self.held.lock().iter().map(Held::describe).collect()
    }

    /// Takes an open reservation off the list, with its claim.
    ///
    /// # Safety
    ///
    /// The reservations that are listed are leaked: nobody can reach their ranges any more, and what was done with them
    /// happened before.
    #[expect(unsafe_code, reason = "a claim is the proof that its holder has the range")]
    pub(crate) unsafe fn take_leaked(&self) -> Option<(Claim, Held)> {
        let held = self.held.lock().pop()?;
        Some((Claim { range: held.range.clone(), lsn: held.lsn }, held))
    }

    /// Seals the buffer if its word is still `expected`; `padded` says whether a pad is to fill the rest. Returns the
    /// sealed word, or the word that was there instead. Only the holder of the roll lock seals.
    pub(crate) fn seal(&self, expected: Header, padded: bool) -> Result<Header, Header> {
        let Some(sealed) = expected.seal() else { return Err(expected) };
        // ORDERING: Relaxed: published by the swap to whoever finds the buffer ready [P2].
        self.line.padded.store(padded, Ordering::Relaxed);
        // ORDERING: AcqRel. Release publishes `padded` to the last writer's Acquire in `leave`; Acquire pairs with the
        // Release in `leave`, so that a sealer who finds no writers sees all bytes [P2]. On failure the caller looks
        // again: Relaxed.
        self.line
            .word
            .compare_exchange(expected.to_bits(), sealed.to_bits(), Ordering::AcqRel, Ordering::Relaxed)
            .map(|_| sealed)
            .map_err(Header::from_bits)
    }

    /// The word as it is now.
    pub(crate) fn header(&self) -> Header {
        // ORDERING: Relaxed: callers hold the roll lock, under which lives begin and end, and confirm what they see by a
        // swap.
        Header::from_bits(self.line.word.load(Ordering::Relaxed))
    }

    /// Up to where the memory from `at` on is final: to where it is claimed, or to where the next open reservation begins.
    /// `None` beyond what is claimed, within a reservation, and while somebody is filling it who is not listed.
    pub(crate) fn settled(&self, at: u32) -> Option<u32> {
        let header = self.word_of_all_who_left();
        let (claimed, next) = if header.writers() == 0 {
            (header.offset().get(), None)
        } else {
            let list = self.held.lock();
            // Again, because the list was another when the word was.
            let header = self.word_of_all_who_left();
            if header.writers() as usize != list.len() {
                return None;
            }
            (header.offset().get(), held::free_from(&list, at)?)
        };
        (at < claimed).then(|| next.unwrap_or(claimed))
    }

    /// Begins a life. The caller made sure that the last one is written and that nobody reads it (I5).
    #[expect(unsafe_code, reason = "the segment header is put in place before anybody can claim")]
    pub(crate) fn open(&self, place: Place, segment_header: Option<&[u8]>) {
        let line = &*self.line;
        let start = self.room.end.get() - place.bytes;
        let opened = start + segment_header.map_or(0, |header| header.len() as u32);
        if let Some(header) = segment_header {
            // SAFETY: I5 (one life at a time): the buffer is ready and written, nobody reads it, and claims are refused
            // until the store below; so nobody else holds any of its memory. The caller's lock ordered us after them.
            let bytes = unsafe { self.memory.range_mut(start..opened) };
            bytes.copy_from_slice(header);
        }
        // ORDERING: Relaxed for all of the place: published by the word [P1].
        line.base.store(place.lsn.get().wrapping_sub(u64::from(start)), Ordering::Relaxed);
        line.file_base.store(place.file.get().wrapping_sub(u64::from(start)), Ordering::Relaxed);
        line.start.store(start, Ordering::Relaxed);
        // ORDERING: Relaxed, as above.
        line.opened.store(opened, Ordering::Relaxed);
        line.ends_segment.store(place.ends_segment, Ordering::Relaxed);
        line.padded.store(false, Ordering::Relaxed);
        // ORDERING: Relaxed: the word was last changed by the leave or seal that made the buffer ready, and the locks that
        // led here ordered us after that.
        let last = Header::from_bits(line.word.load(Ordering::Relaxed));
        let at = BufferOffset::new(opened).expect("positions in a buffer fit the word");
        let open = last.reopen(at).unwrap_or_else(|| panic!("I5: a buffer was opened in the state {last:?}"));
        // ORDERING: Release pairs with the Acquire in `claim` [P1]: the place and the memory are seen by every writer.
        line.word.store(open.to_bits(), Ordering::Release);
    }

    /// Whether the buffer ends where its segment ends.
    pub(crate) fn ends_segment(&self) -> bool {
        // ORDERING: Relaxed: callers hold the roll lock, which orders them after `open`.
        self.line.ends_segment.load(Ordering::Relaxed)
    }

    /// Where the memory was claimed to when the buffer was opened.
    pub(crate) fn opened(&self) -> u32 {
        // ORDERING: Relaxed: callers hold the roll lock, which orders them after `open`.
        self.line.opened.load(Ordering::Relaxed)
    }

    /// The LSN of the buffer's first byte.
    pub(crate) fn first_lsn(&self) -> Lsn {
        // ORDERING: Relaxed: callers hold the roll lock, which orders them after `open`.
        self.lsn_at(self.line.start.load(Ordering::Relaxed))
    }

    /// The LSN of a position in the memory.
    pub(crate) fn lsn_at(&self, at: u32) -> Lsn {
        // ORDERING: Relaxed: callers are ordered after `open` by P1, by P2 or by a lock.
        Lsn::new(self.line.base.load(Ordering::Relaxed).wrapping_add(u64::from(at)))
    }

    /// The place in the file of a position in the memory.
    pub(crate) fn file_at(&self, at: u32) -> FileOffset {
        // ORDERING: Relaxed: callers are ordered after `open` by P1, by P2 or by a lock.
        FileOffset::new(self.line.file_base.load(Ordering::Relaxed).wrapping_add(u64::from(at)))
    }

    /// The memory position of an LSN that does not lie before this life; `None` if it lies so far behind that no position
    /// can be.
    pub(crate) fn at(&self, lsn: Lsn) -> Option<u32> {
        // ORDERING: Relaxed: callers are ordered after `open` by P4.
        u32::try_from(lsn.get().wrapping_sub(self.line.base.load(Ordering::Relaxed))).ok()
    }

    /// The ready buffer's content, padded by `fill_pad` if that was decided when it was sealed. The caller must be the one
    /// that found the buffer ready, or have taken its place (I3).
    #[expect(unsafe_code, reason = "a ready buffer has no writers")]
    pub(crate) fn finish(&self, fill_pad: impl FnOnce(Lsn, &mut [u8])) -> Finished<'_> {
        let line = &*self.line;
        // ORDERING: Relaxed for all loads: P2 ordered the one that found the buffer ready after everything in this life.
        let header = Header::from_bits(line.word.load(Ordering::Relaxed));
        assert!(header.is_ready(), "I3: a buffer was written in the state {header:?}");
        // ORDERING: Relaxed, as above.
        let (start, padded) = (line.start.load(Ordering::Relaxed), line.padded.load(Ordering::Relaxed));
        let (claimed, end) = (header.offset().get(), self.room.end.get());
        let end = if padded { end } else { claimed };
        if end > claimed {
            // SAFETY: I3 (writers first): the buffer is sealed and has no writers, so nobody holds or can claim a range
            // beyond `claimed`; readers stay below it; and only one thread finishes a buffer. P2 orders us after all.
            let pad = unsafe { self.memory.range_mut(claimed..end) };
            fill_pad(self.lsn_at(claimed), pad);
        }
        // SAFETY: I3 (writers first): no writer is left and none is admitted before the next life, which begins only after
        // the content was written, so nobody writes these bytes while they are read here. P2 orders us after them.
        let bytes = unsafe { self.memory.range(start..end) };
        Finished {
            bytes,
            lsn: self.lsn_at(start),
            offset: self.file_at(start),
            end: self.lsn_at(end),
            pad_bytes: end - claimed,
        }
    }

    /// The bytes from `at`, a position in this life, up to `settled`, which [`Slot::settled`] returned for it, or
    /// [`Slot::held_at`], in this life. The caller has pinned the buffer, so that its life goes on.
    #[expect(unsafe_code, reason = "settled bytes are not written any more")]
    pub(crate) fn settled_bytes(&self, at: u32, settled: u32) -> &[u8] {
        // SAFETY: I6 (pinned life), I9 (listed are counted): these bytes were final when there was no writer but those listed,
        // none of whom has a range here: later claims and the pad begin at or above where all claims ended, and the pin keeps
        // the next life from beginning. P2 orders us after their writers.
        unsafe { self.memory.range(at..settled) }
    }
}

/// What a ready buffer has for the storage.
#[derive(Debug)]
pub(crate) struct Finished<'a> {
    pub(crate) bytes: &'a [u8],
    /// The LSN of the first byte.
    pub(crate) lsn: Lsn,
    pub(crate) offset: FileOffset,
    /// The LSN after the last byte.
    pub(crate) end: Lsn,
    pub(crate) pad_bytes: u32,
}
