//! Who waits for which commit round, and for how long a round waits for more to come.
//!
//! Plain data, kept under the progress lock. Refuses I/O, clocks and atomics: durations come from the caller.
//!
//! Waiters of one round form a *cohort*. One cohort at most is being synced for; whoever comes meanwhile and is not
//! covered gathers in the next. A cohort sleeps on one condition variable, so that the end of a round wakes all of it
//! with one call and nobody else. Where many wait for a fast device, they do not sleep at all but yield their cores to one
//! another until the round has ended.

use std::time::Duration;

use esker_format::Lsn;

use crate::sync::IS_SIMULATED;

/// A waiter's place in a cohort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// The cohort's place, and that of its condition variable.
    index: usize,
    generation: u64,
}

impl Member {
    pub(crate) fn index(self) -> usize {
        self.index
    }
}

/// Those who wait for the same round.
#[derive(Clone, Copy, Debug, Default)]
struct Cohort {
    /// How often this place was used before: a cohort is dismissed as a whole, and its members may learn of it late.
    generation: u64,
    /// How many wait.
    present: u32,
    /// How many of them sleep. The others look by themselves whether the round has ended.
    asleep: u32,
}

impl Cohort {
    /// Whoever was here is on its own.
    fn dismiss(&mut self) {
        *self = Self { generation: self.generation + 1, ..Self::default() };
    }
}

/// Whom the end of a round wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Nobody sleeps there, or nobody needs to know.
    Nobody,
    /// One, who leads the next round.
    Leader,
    /// All who sleep there.
    All,
}

#[derive(Debug)]
pub(crate) struct Rounds {
    /// Whether somebody leads a round.
    leading: bool,
    /// Up to where the running round covers, once that is decided.
    covers: Option<Lsn>,
    /// Whether the leader waits for an open reservation.
    held_up: bool,
    /// The place of the cohort that whoever is not covered joins.
    gathering: usize,
    cohorts: [Cohort; Self::COHORTS],
    gather: Gather,
    /// How many must wait for waiters to yield.
    yielders_min: u32,
    /// For how long a waiter yields at most.
    yield_max: Duration,
}

impl Rounds {
    /// How many cohorts there may be. Two suffice: when one begins to gather, the one before the last was dismissed.
    pub(crate) const COHORTS: usize = 2;
    /// Waiters yield when there are so many for each core. A sync then costs each of them at most this part of its time on
    /// a core, and the cores are busy with waking them otherwise.
    const YIELDERS_PER_CORE: u32 = 4;
    /// For how many syncs a waiter yields: what is left of one it is not covered by, its own, and half of one for each
    /// leader's patience.
    const YIELD_SYNCS: u32 = 3;

    pub(crate) fn new(cores: u32, yield_max: Duration) -> Self {
        Self {
            leading: false,
            covers: None,
            held_up: false,
            gathering: 0,
            cohorts: [Cohort::default(); Self::COHORTS],
            gather: Gather::default(),
            yielders_min: cores.saturating_mul(Self::YIELDERS_PER_CORE),
            yield_max,
        }
    }

    pub(crate) fn is_led(&self) -> bool {
        self.leading
    }

    /// Whether the leader is held up by an open reservation, or was in this round.
    pub(crate) fn is_held_up(&self) -> bool {
        self.held_up
    }

    pub(crate) fn hold_up(&mut self) {
        self.held_up = true;
    }

    /// For how long it may pay to wait, to be spared a sync.
    pub(crate) fn patience_max(&self) -> Duration {
        self.gather.wait_max()
    }

    /// The place of the cohort that is not gathering.
    fn covered(&self) -> usize {
        Self::COHORTS - 1 - self.gathering
    }

    /// The caller waits for the round that covers `lsn`. Only while a round is led, whose end wakes it.
    pub(crate) fn join(&mut self, lsn: Lsn) -> Member {
        debug_assert!(self.leading, "nobody would wake whoever joins now");
        let is_covered = self.covers.is_some_and(|end| lsn < end);
        let index = if is_covered { self.covered() } else { self.gathering };
        let cohort = &mut self.cohorts[index];
        cohort.present += 1;
        Member { index, generation: cohort.generation }
    }

    /// For how long a waiter is to yield its core to others before it sleeps.
    ///
    /// To wake a thread takes several microseconds of a core. A device that syncs in a hundred has then to wait for the
    /// threads; but with several waiters for each core, cores go from one waiter to the next, and whoever is covered goes
    /// on in its turn. Few waiters would only burn what others can use.
    pub(crate) fn yield_for(&self) -> Duration {
        // Who schedules a simulation knows no time, and no cores.
        if IS_SIMULATED {
            return self.yield_max;
        }
        let at_most = self.gather.sync * Self::YIELD_SYNCS;
        if self.gather.expected < self.yielders_min || at_most > self.yield_max { Duration::ZERO } else { at_most }
    }

    /// The member goes to sleep.
    pub(crate) fn sleep(&mut self, member: Member) {
        debug_assert_eq!(self.cohorts[member.index].generation, member.generation);
        self.cohorts[member.index].asleep += 1;
    }

    /// The member, which slept if `asleep`, no longer waits.
    pub(crate) fn leave(&mut self, member: Member, asleep: bool) {
        let cohort = &mut self.cohorts[member.index];
        if cohort.generation == member.generation {
            cohort.present -= 1;
            cohort.asleep -= u32::from(asleep);
        }
    }

    /// The caller leads a round. Returns for how long it is to wait for others.
    pub(crate) fn begin(&mut self) -> Patience {
        debug_assert!(!self.leading && self.covers.is_none());
        self.leading = true;
        self.gather.begin(self.present())
    }

    /// How many the round serves as it stands: the gathered and the leader.
    fn present(&self) -> u32 {
        self.cohorts[self.gathering].present + 1
    }

    /// Whether everybody came whom `patience` waits for.
    pub(crate) fn is_complete(&self, patience: &Patience) -> bool {
        self.present() >= patience.expected
    }

    /// The leader has waited this long.
    pub(crate) fn gathered(&mut self, patience: &Patience, waited: Duration) {
        self.gather.learn(patience.present, self.present(), waited);
    }

    /// The round covers everything below `end`; who comes later and is not covered gathers for the next.
    pub(crate) fn close(&mut self, end: Lsn) {
        self.covers = Some(end);
        self.gathering = self.covered();
    }

    /// A sync took this long.
    pub(crate) fn synced(&mut self, took: Duration) {
        self.gather.synced(took);
    }

    /// The round has ended, with everything below `stable` stable. Returns which cohorts' places to wake: first that of the
    /// gathering one, then that of the covered.
    pub(crate) fn end(&mut self, stable: Lsn) -> [(usize, Wake); Self::COHORTS] {
        self.leading = false;
        self.held_up = false;
        let covers = self.covers.take();
        let (next, served) = (self.gathering, self.covered());
        let all = |cohort: Cohort| if cohort.asleep > 0 { Wake::All } else { Wake::Nobody };
        let all_served = all(self.cohorts[served]);
        self.gather.expected = self.cohorts[next].present + covers.map_or(0, |_| self.cohorts[served].present + 1);
        self.cohorts[served].dismiss();
        let Cohort { present, asleep, .. } = self.cohorts[next];
        let one_of_next = if covers.is_some_and(|end| stable > end) {
            // More became stable than was promised, so that some of the gathered may have nothing to wait for. Were one of
            // them to lead, it would not, and nobody else would.
            let woken = all(self.cohorts[next]);
            self.cohorts[next].dismiss();
            woken
        } else if asleep > 0 && asleep == present {
            Wake::Leader
        } else {
            // Nobody is there, or one who does not sleep leads.
            Wake::Nobody
        };
        [(next, one_of_next), (served, all_served)]
    }
}

/// For how long a leader waits for others, and for how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    pub(crate) at_most: Duration,
    present: u32,
    expected: u32,
}

/// Learns whether it pays to wait, before a sync, for those whom the last round served.
///
/// They come back at once if they have nothing to do but append; then a short wait puts them all under one sync, where
/// otherwise two halves would take turns. If they do not come, waiting only delays, so a wait that brought less than it
/// cost is not repeated for a while.
#[derive(Debug, Default)]
struct Gather {
    /// What a sync takes at least, lately: what one costs however little there is to sync, and so what is spared by one
    /// fewer. Falls at once and rises slowly.
    sync: Duration,
    /// How many the last round served or left waiting.
    expected: u32,
    /// How many more waits may fail before there are none for a while.
    credit: u32,
    /// Rounds without a wait since then.
    rounds_without: u32,
}

impl Gather {
    /// No wait is longer than this, whatever the device.
    const WAIT_MAX: Duration = Duration::from_millis(1);
    /// A wait is at most this part of a sync, so that one in vain costs little.
    const SYNC_PART: u32 = 2;
    /// One part in so many of what a sync took longer counts.
    const SYNC_RISE: u32 = 64;
    const CREDIT_MAX: u32 = 4;
    /// Every so many rounds a wait is tried even if the last ones were in vain.
    const ROUNDS_WITHOUT_MAX: u32 = 32;

    fn begin(&mut self, present: u32) -> Patience {
        let mut patience = Patience { at_most: Duration::ZERO, present, expected: self.expected };
        // A simulation that waited for some time would not be the same each time.
        if present >= self.expected || IS_SIMULATED {
            return patience;
        }
        if self.credit == 0 && self.rounds_without < Self::ROUNDS_WITHOUT_MAX {
            self.rounds_without += 1;
            return patience;
        }
        self.rounds_without = 0;
        patience.at_most = self.wait_max();
        patience
    }

    fn wait_max(&self) -> Duration {
        (self.sync / Self::SYNC_PART).min(Self::WAIT_MAX)
    }

    /// `present` became `joined` while everybody waited for `waited`.
    fn learn(&mut self, present: u32, joined: u32, waited: Duration) {
        // Each who came in time is spared the sync that would have been under way; each who was there paid the wait.
        let spared = self.sync * joined.saturating_sub(present);
        let paid = waited * present;
        self.credit = if spared > paid { Self::CREDIT_MAX } else { self.credit.saturating_sub(1) };
    }

    fn synced(&mut self, took: Duration) {
        if self.sync.is_zero() || took < self.sync {
            self.sync = took;
        } else {
            self.sync += (took - self.sync) / Self::SYNC_RISE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: Duration = Duration::from_micros(100);

    /// Rounds whose waiters sleep.
    fn sleeping() -> Rounds {
        Rounds::new(1, Duration::ZERO)
    }

    fn asleep(rounds: &mut Rounds, lsn: u64) -> Member {
        let member = rounds.join(Lsn::new(lsn));
        rounds.sleep(member);
        member
    }

    /// A round that serves `covered` sleepers and leaves `waiting` for the next.
    fn round(rounds: &mut Rounds, covered: u32, waiting: u32) -> [(usize, Wake); 2] {
        rounds.begin();
        let covered: Vec<_> = (0..covered).map(|_| asleep(rounds, 5)).collect();
        rounds.close(Lsn::new(10));
        let waiting: Vec<_> = (0..waiting).map(|_| asleep(rounds, 10)).collect();
        rounds.synced(SYNC);
        let woken = rounds.end(Lsn::new(10));
        covered.into_iter().chain(waiting).for_each(|member| rounds.leave(member, true));
        assert!(rounds.cohorts.iter().all(|cohort| cohort.present == 0 && cohort.asleep == 0));
        woken
    }

    #[test]
    fn the_end_of_a_round_wakes_its_cohort_and_one_of_the_next() {
        for (covered, waiting, expected) in [
            (0, 0, [Wake::Nobody, Wake::Nobody]),
            (3, 0, [Wake::Nobody, Wake::All]),
            (0, 3, [Wake::Leader, Wake::Nobody]),
            (2, 2, [Wake::Leader, Wake::All]),
        ] {
            let mut rounds = sleeping();
            // Twice, so that the cohorts have changed places.
            for _ in 0..2 {
                let woken = round(&mut rounds, covered, waiting);
                assert_eq!([woken[0].1, woken[1].1], expected, "{covered} covered, {waiting} waiting");
                assert_ne!(woken[0].0, woken[1].0);
            }
        }
    }

    #[test]
    fn whoever_is_covered_by_the_running_round_joins_it() {
        let mut rounds = sleeping();
        rounds.begin();
        let before = rounds.join(Lsn::new(5));
        rounds.close(Lsn::new(10));
        assert_eq!(rounds.join(Lsn::new(9)), before);
        assert_ne!(rounds.join(Lsn::new(10)), before);
    }

    #[test]
    fn all_of_the_next_cohort_wake_if_more_is_stable_than_was_promised() {
        let mut rounds = sleeping();
        rounds.begin();
        rounds.close(Lsn::new(10));
        let waiting = asleep(&mut rounds, 10);
        let woken = rounds.end(Lsn::new(11));
        assert_eq!(woken[0], (waiting.index(), Wake::All));
    }

    #[test]
    fn a_round_that_never_closed_hands_over_to_one_of_its_own() {
        let mut rounds = sleeping();
        rounds.begin();
        let waiting = asleep(&mut rounds, 5);
        assert_eq!(rounds.end(Lsn::new(0))[0], (waiting.index(), Wake::Leader));
        assert!(!rounds.is_led());
    }

    #[test]
    fn nobody_is_woken_to_lead_if_one_is_awake() {
        let mut rounds = sleeping();
        rounds.begin();
        rounds.close(Lsn::new(10));
        asleep(&mut rounds, 10);
        let awake = rounds.join(Lsn::new(10));
        assert_eq!(rounds.end(Lsn::new(10))[0].1, Wake::Nobody);
        // It sleeps only while a round is led, and from then on is one to wake.
        rounds.begin();
        rounds.leave(awake, false);
        asleep(&mut rounds, 10);
        assert_eq!(rounds.end(Lsn::new(10))[0].1, Wake::Leader);
    }

    #[test]
    fn whoever_returned_by_itself_is_gone_when_the_round_has_ended() {
        let mut rounds = sleeping();
        rounds.begin();
        let served = rounds.join(Lsn::new(5));
        rounds.close(Lsn::new(10));
        rounds.end(Lsn::new(10));
        // What it says later, the cohort that has its place now does not take for one of its own.
        rounds.begin();
        rounds.close(Lsn::new(10));
        let other = rounds.join(Lsn::new(10));
        assert_eq!(other.index(), served.index());
        assert_eq!(rounds.cohorts[other.index()].present, 1);
        rounds.leave(served, false);
        assert_eq!(rounds.cohorts[other.index()].present, 1);
    }

    #[test]
    fn waiters_yield_where_many_wait_for_a_fast_device() {
        let yield_max = SYNC * Rounds::YIELD_SYNCS;
        for (cores, waiters, sync, expected) in [
            (2, 8, SYNC, yield_max),
            (2, 7, SYNC, Duration::ZERO),
            (3, 8, SYNC, Duration::ZERO),
            (2, 8, SYNC * 2, Duration::ZERO),
        ] {
            let mut rounds = Rounds::new(cores, yield_max);
            assert_eq!(rounds.yield_for(), Duration::ZERO, "nothing is known yet");
            rounds.begin();
            rounds.close(Lsn::new(10));
            for _ in 1..waiters {
                rounds.join(Lsn::new(5));
            }
            rounds.synced(sync);
            rounds.end(Lsn::new(10));
            assert_eq!(rounds.yield_for(), expected, "{cores} cores, {waiters} waiters, {sync:?}");
        }
    }

    #[test]
    fn a_leader_waits_for_those_the_last_round_served_and_gives_up_if_they_do_not_come() {
        let mut rounds = sleeping();
        round(&mut rounds, 7, 8);
        // The first wait comes after a number of rounds without.
        let mut waits = 0;
        for _ in 0..Gather::ROUNDS_WITHOUT_MAX * 4 {
            let patience = rounds.begin();
            assert_eq!(patience.expected, 16);
            if !patience.at_most.is_zero() {
                assert_eq!(patience.at_most, SYNC / 2);
                assert!(!rounds.is_complete(&patience));
                rounds.gathered(&patience, patience.at_most);
                waits += 1;
            }
            rounds.end(Lsn::new(0));
            rounds.gather.expected = 16;
        }
        assert!((2..=4).contains(&waits), "{waits} waits in vain");
    }

    #[test]
    fn a_leader_stops_waiting_when_all_have_come() {
        let mut rounds = sleeping();
        round(&mut rounds, 2, 0);
        assert_eq!(rounds.patience_max(), SYNC / 2);
        rounds.gather.credit = 1;
        let patience = rounds.begin();
        assert_eq!((patience.present, patience.expected, patience.at_most), (1, 3, SYNC / 2));
        for _ in 0..2 {
            assert!(!rounds.is_complete(&patience));
            rounds.join(Lsn::new(5));
        }
        assert!(rounds.is_complete(&patience));
        rounds.gathered(&patience, SYNC / 10);
        assert_eq!(rounds.gather.credit, Gather::CREDIT_MAX, "it paid");
    }

    #[test]
    fn a_round_is_held_up_until_it_ends() {
        let mut rounds = sleeping();
        rounds.begin();
        assert!(!rounds.is_held_up());
        rounds.hold_up();
        assert!(rounds.is_held_up());
        rounds.close(Lsn::new(10));
        rounds.end(Lsn::new(10));
        assert!(!rounds.is_held_up());
    }

    #[test]
    fn a_wait_pays_if_it_spares_more_than_all_who_were_there_have_waited() {
        for (present, joined, waited, pays) in
            [(2, 3, SYNC / 3, true), (2, 3, SYNC / 2, false), (2, 3, SYNC * 6 / 10, false), (1, 3, SYNC, true)]
        {
            let mut gather = Gather { sync: SYNC, credit: 2, ..Gather::default() };
            gather.learn(present, joined, waited);
            assert_eq!(gather.credit, if pays { Gather::CREDIT_MAX } else { 1 }, "{present} {joined} {waited:?}");
        }
    }

    #[test]
    fn what_counts_is_the_least_that_a_sync_takes() {
        let mut gather = Gather::default();
        gather.synced(SYNC);
        gather.synced(SYNC * 33);
        assert_eq!(gather.sync, SYNC + SYNC / 2);
        gather.synced(SYNC / 2);
        assert_eq!(gather.sync, SYNC / 2);
        // A device that has become slow is known as such after a while.
        (0..1000).for_each(|_| gather.synced(SYNC * 10));
        assert!(gather.sync > SYNC * 9);
    }

    #[test]
    fn waits_that_pay_go_on() {
        let mut gather =
            Gather { sync: SYNC, expected: 16, rounds_without: Gather::ROUNDS_WITHOUT_MAX, ..Gather::default() };
        for _ in 0..100 {
            let patience = gather.begin(1);
            assert!(!patience.at_most.is_zero());
            gather.learn(1, 16, Duration::from_micros(40));
            assert!(gather.begin(16).at_most.is_zero(), "everybody is there");
        }
        // A few in vain do not end it, more do.
        for _ in 0..Gather::CREDIT_MAX {
            assert!(!gather.begin(1).at_most.is_zero());
            gather.learn(1, 1, SYNC / 2);
        }
        assert!(gather.begin(1).at_most.is_zero());
        assert!(gather.begin(16).at_most.is_zero(), "everybody is there");
    }
}
