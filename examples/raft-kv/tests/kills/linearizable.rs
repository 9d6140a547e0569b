//! Whether there is an order in which a register could have done what its clients saw.
//!
//! The method is that of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) as Lowe has it ("Testing for
//! Linearizability", 2017) and porcupine uses it: operations are put in order one at a time, only such as were called before
//! every other one that is left had returned, and no pair of a set of operations and a state is tried twice.

use std::collections::HashSet;

/// What was done to a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It was set.
    Put(u64),
    /// This was read.
    Get(Option<u64>),
}

/// One operation of one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    /// When it was called.
    pub(crate) called: u64,
    /// When it returned; `None` if nobody knows whether it was done, or will be.
    pub(crate) returned: Option<u64>,
    pub(crate) action: Action,
}

/// Where the search stands: which operations are in order already, and what the register holds then.
type Place = (Vec<u64>, Option<u64>);

/// Whether the operations on a register that held nothing at first are linearizable.
pub(crate) fn is_linearizable(ops: &[Op]) -> bool {
    let mut ops = ops.to_vec();
    ops.sort_unstable_by_key(|op| op.called);
    let mut tried: HashSet<Place> = HashSet::new();
    let mut places: Vec<Place> = vec![(vec![0; ops.len().div_ceil(64)], None)];
    while let Some((done, value)) = places.pop() {
        let left = || ops.iter().enumerate().filter(|(at, _)| done[at / 64] & (1 << (at % 64)) == 0);
        // Those that nobody knows of need not have been done.
        let Some(first_return) = left().filter_map(|(_, op)| op.returned).min() else { return true };
        for (at, op) in left().take_while(|(_, op)| op.called <= first_return) {
            let after = match op.action {
                Action::Put(new) => Some(new),
                Action::Get(found) if found == value => value,
                Action::Get(_) => continue,
            };
            let mut done = done.clone();
            done[at / 64] |= 1 << (at % 64);
            if tried.insert((done.clone(), after)) {
                places.push((done, after));
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{
        Action::{Get, Put},
        Op, is_linearizable,
    };

    fn op(called: u64, returned: impl Into<Option<u64>>, action: super::Action) -> Op {
        Op { called, returned: returned.into(), action }
    }

    #[test]
    fn registers_are_told_from_what_is_none() {
        let yes: &[&[Op]] = &[
            &[],
            &[op(0, 1, Get(None)), op(2, 3, Put(1)), op(4, 5, Get(Some(1)))],
            // Whoever reads beside a write may see either value, but not go back.
            &[op(0, 9, Put(1)), op(1, 2, Get(None)), op(3, 4, Get(Some(1))), op(5, 6, Get(Some(1)))],
            // Nobody knows of the second write: it is seen late, or never.
            &[op(0, 1, Put(1)), op(2, None, Put(2)), op(3, 4, Get(Some(1))), op(50, 60, Get(Some(2)))],
            &[op(0, 1, Put(1)), op(2, None, Put(2)), op(50, 60, Get(Some(1)))],
            &[op(0, 5, Put(1)), op(0, 5, Put(2)), op(6, 7, Get(Some(1)))],
        ];
        let no: &[&[Op]] = &[
            &[op(0, 1, Put(1)), op(2, 3, Get(None))],
            &[op(0, 9, Put(1)), op(1, 2, Get(Some(1))), op(3, 4, Get(None))],
            &[op(0, 1, Put(1)), op(2, 3, Put(2)), op(4, 5, Get(Some(1)))],
            &[op(0, 1, Put(1)), op(2, None, Put(2)), op(3, 4, Get(Some(2))), op(5, 6, Get(Some(1)))],
            &[op(0, 1, Get(Some(1))), op(2, 3, Put(1))],
            &[op(0, 5, Put(1)), op(0, 5, Put(2)), op(6, 7, Get(Some(1))), op(8, 9, Get(Some(2)))],
        ];
        assert!(yes.iter().all(|ops| is_linearizable(ops)));
        for ops in no {
            assert!(!is_linearizable(ops), "{ops:?}");
        }
    }
}
