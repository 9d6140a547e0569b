//! The names.
//!
//! Owns which name means which file, now and durably, and what happened in between. Refuses to look into files.
//!
//! # Invariants
//!
//! - **O1 (one name each):** no file has two names, now, durably, or after a power cut, whichever changes survive.

use std::collections::BTreeMap;

use crate::{
    faults::Probability,
    history::{Judge, Step},
    rng::Rng,
};

/// Tells files apart, whatever they are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId(pub(crate) u64);

pub(crate) type Names = BTreeMap<String, FileId>;

/// A change of the directory. It speaks of files, not of names, so that it means something even if the change before it
/// is lost.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// The file was created under this name, or renamed to it.
    Named(FileId, String),
    /// The file was removed.
    Removed(FileId),
}

impl Change {
    fn apply(&self, names: &mut Names) {
        let (Self::Named(file, _) | Self::Removed(file)) = self;
        names.retain(|_, other| other != file);
        if let Self::Named(file, name) = self {
            names.insert(name.clone(), *file);
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Directory {
    now: Names,
    durable: Names,
    later: Vec<(Step, Change)>,
}

impl Directory {
    /// A directory in which these names are durable.
    pub(crate) fn new(names: Names) -> Self {
        Self { now: names.clone(), durable: names, later: Vec::new() }
    }

    pub(crate) fn names(&self) -> &Names {
        &self.now
    }

    pub(crate) fn change(&mut self, step: Step, change: Change) {
        change.apply(&mut self.now);
        self.later.push((step, change));
    }

    pub(crate) fn sync(&mut self) {
        for (_, change) in self.later.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// A sync that fails: each change may have become durable, and the others will not be written any more.
    pub(crate) fn fail_sync(&mut self, rng: &mut Rng) {
        for (_, change) in self.later.drain(..) {
            if rng.below(2) == 1 {
                change.apply(&mut self.durable);
            }
        }
    }

    pub(crate) fn steps(&self) -> impl Iterator<Item = Step> {
        self.later.iter().map(|&(step, _)| step)
    }

    /// Whether any outcome of a power cut, or any reader, could give this file a name.
    pub(crate) fn may_name(&self, file: FileId) -> bool {
        let named = |names: &Names| names.values().any(|&other| other == file);
        let change = |(_, change): &(Step, Change)| matches!(change, Change::Named(other, _) if *other == file);
        named(&self.now) || named(&self.durable) || self.later.iter().any(change)
    }

    /// The names after a power cut.
    pub(crate) fn survivor(&self, judge: &mut Judge) -> Names {
        let kept: Probability = judge.class();
        let mut names = self.durable.clone();
        for (step, change) in &self.later {
            if judge.keeps(*step, kept) {
                change.apply(&mut names);
            }
        }
        names
    }
}
