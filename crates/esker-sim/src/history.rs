//! One fact on the disk, and what it was since it was last synced.
//!
//! Owns the rule by which a fact becomes durable, is dropped by a failed sync, or is decided at a power cut; the same for
//! a sector's bytes and a file's length. Refuses to know which of the two it is.
//!
//! # Invariants
//!
//! - **Y1 (one of its own):** whatever is decided, the outcome is the durable value or one of the later ones.

use crate::{
    faults::{Probability, Survival},
    rng::Rng,
};

/// The number of a changing call: the order in which things happened.
pub(crate) type Step = u64;

#[derive(Debug, Clone)]
pub(crate) struct History<T> {
    durable: T,
    /// What the fact became since the last sync, oldest first.
    later: Vec<(Step, T)>,
    /// What readers see although a failed sync dropped it.
    dropped: Option<T>,
}

impl<T: Clone> History<T> {
    pub(crate) fn new(durable: T) -> Self {
        Self { durable, later: Vec::new(), dropped: None }
    }

    /// What readers see.
    pub(crate) fn now(&self) -> &T {
        self.later.last().map(|(_, value)| value).or(self.dropped.as_ref()).unwrap_or(&self.durable)
    }

    /// What the disk holds.
    pub(crate) fn durable(&self) -> &T {
        &self.durable
    }

    /// Whether readers see what the disk holds.
    pub(crate) fn is_settled(&self) -> bool {
        self.later.is_empty() && self.dropped.is_none()
    }

    /// The steps at which the fact changed since the last sync.
    pub(crate) fn steps(&self) -> impl Iterator<Item = Step> {
        self.later.iter().map(|&(step, _)| step)
    }

    pub(crate) fn is_dirty(&self) -> bool {
        !self.later.is_empty()
    }

    pub(crate) fn change(&mut self, step: Step, value: T) {
        // One call that changes a fact twice is one change.
        match self.later.last_mut() {
            Some((last, newest)) if *last == step => *newest = value,
            _ => self.later.push((step, value)),
        }
    }

    /// A sync: the newest value becomes durable, unless it had been dropped, in which case there is nothing to write.
    pub(crate) fn sync(&mut self) {
        if let Some((_, newest)) = self.later.pop() {
            self.durable = newest;
            self.later.clear();
            self.dropped = None;
        }
    }

    /// The durable value becomes another one, by no call. Readers see it unless there is a later one.
    pub(crate) fn overwrite(&mut self, value: T) {
        self.durable = value;
        self.dropped = None;
    }

    /// A sync that fails: any value may have become durable, and the newest will not be written any more.
    pub(crate) fn fail_sync(&mut self, rng: &mut Rng) {
        if let Some((_, newest)) = self.later.last().cloned() {
            if let Some(reached) = rng.index(self.later.len() + 1).checked_sub(1) {
                self.durable = self.later[reached].1.clone();
            }
            self.later.clear();
            self.dropped = Some(newest);
        }
    }

    /// What a power cut leaves.
    pub(crate) fn survivor(&self, judge: &mut Judge, newest: Probability) -> &T {
        let count = self.later.len();
        if count == 0 {
            return &self.durable;
        }
        let kept = match &mut judge.verdict {
            Verdict::Listed(path) => path.choose(count + 1),
            Verdict::Nothing => 0,
            Verdict::Everything => count,
            Verdict::Prefix { last } => {
                let last = *last;
                let before = self.later.iter().take_while(|&&(step, _)| step < last).count();
                let torn = self.later.get(before).is_some_and(|&(step, _)| step == last);
                before + usize::from(torn && judge.rng.below(2) == 1)
            }
            Verdict::Subset if judge.rng.chance(newest) => count,
            Verdict::Subset => judge.rng.index(count),
        };
        kept.checked_sub(1).map_or(&self.durable, |index| &self.later[index].1)
    }
}

/// Decides what survives one power cut.
#[derive(Debug)]
pub(crate) struct Judge {
    pub(crate) rng: Rng,
    verdict: Verdict,
}

#[derive(Debug)]
enum Verdict {
    Nothing,
    Everything,
    /// Everything before the call `last`, and any part of it.
    Prefix {
        last: Step,
    },
    Subset,
    /// As the path says.
    Listed(Path),
}

/// One of all ways to decide: what was chosen at each question, and from how many answers.
///
/// Which questions there are may depend on earlier answers.
#[derive(Debug, Default)]
pub(crate) struct Path {
    choices: Vec<(usize, usize)>,
    /// How many questions of this way were answered.
    asked: usize,
}

impl Path {
    fn choose(&mut self, answers: usize) -> usize {
        if self.asked == self.choices.len() {
            self.choices.push((0, answers));
        }
        let (choice, of) = self.choices[self.asked];
        debug_assert_eq!(of, answers, "the same answers lead to the same questions");
        self.asked += 1;
        choice
    }

    /// Goes on to the next way; `false` if that was the last.
    pub(crate) fn advance(&mut self) -> bool {
        self.choices.truncate(std::mem::take(&mut self.asked));
        while let Some((choice, answers)) = self.choices.pop() {
            if choice + 1 < answers {
                self.choices.push((choice + 1, answers));
                return true;
            }
        }
        false
    }
}

impl Judge {
    /// One that decides as `path` says.
    pub(crate) fn listing(path: Path) -> Self {
        Self { rng: Rng::new(0), verdict: Verdict::Listed(path) }
    }

    /// The path of one that lists.
    pub(crate) fn into_path(self) -> Path {
        match self.verdict {
            Verdict::Listed(path) => path,
            _ => Path::default(),
        }
    }

    /// `steps` are the oldest and the newest of the un-synced calls, if there are any.
    pub(crate) fn new(seed: u64, survival: Option<Survival>, steps: Option<(Step, Step)>) -> Self {
        let mut rng = Rng::new(seed);
        let drawn = [
            Survival::Nothing,
            Survival::Everything,
            Survival::Prefix,
            Survival::Prefix,
            Survival::Subset,
            Survival::Subset,
            Survival::Subset,
            Survival::Subset,
        ];
        let verdict = match survival.unwrap_or_else(|| drawn[rng.index(drawn.len())]) {
            Survival::Nothing => Verdict::Nothing,
            Survival::Everything => Verdict::Everything,
            Survival::Prefix => {
                let (oldest, newest) = steps.unwrap_or((0, 0));
                Verdict::Prefix { last: oldest + rng.below(newest - oldest + 1) }
            }
            Survival::Subset => Verdict::Subset,
        };
        Self { rng, verdict }
    }

    /// How likely it is that facts of one class survive, drawn afresh for each class: none, all, or anything between.
    pub(crate) fn class(&mut self) -> Probability {
        match self.rng.below(4) {
            0 => Probability::NEVER,
            1 => Probability::ALWAYS,
            _ => Probability::from_per_million(self.rng.below(1_000_001) as u32),
        }
    }

    /// Whether a fact that either happened or did not survives.
    pub(crate) fn keeps(&mut self, step: Step, kept: Probability) -> bool {
        match &mut self.verdict {
            Verdict::Listed(path) => path.choose(2) == 1,
            Verdict::Nothing => false,
            Verdict::Everything => true,
            Verdict::Prefix { last } => step < *last || step == *last && self.rng.below(2) == 1,
            Verdict::Subset => self.rng.chance(kept),
        }
    }
}
