//! Which measures there are, who takes part in each, and how long they take.

use std::{path::PathBuf, str::FromStr};

use crate::{
    Failure,
    contender::Contender,
    measure::{Measure, Task},
};

/// What can be asked for alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    Durable,
    Buffered,
}

impl Group {
    pub(crate) const ALL: [Self; 2] = [Self::Durable, Self::Buffered];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::Buffered => "buffered",
        }
    }
}

impl FromStr for Group {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self, Failure> {
        Self::ALL.into_iter().find(|group| group.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("there is no group `{name}`, only {names}").into()
        })
    }
}

/// A measure, who takes part, and on what scale.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) measure: Measure,
    pub(crate) contenders: Vec<Contender>,
    millis: u64,
    bytes: u64,
}

impl Row {
    pub(crate) fn task(&self, contender: Contender) -> Task {
        let Self { measure, millis, bytes, .. } = *self;
        Task { measure, contender, dir: PathBuf::new(), millis, bytes }
    }
}

const MIB: u64 = 1 << 20;

pub(crate) fn rows(group: Group, quick: bool) -> Vec<Row> {
    match group {
        Group::Durable => durable(quick),
        Group::Buffered => buffered(quick),
    }
}

fn durable(quick: bool) -> Vec<Row> {
    use Contender::{
        Commitlog, Esker, Fjall, LimitBandwidth, LimitDurable, Mutexed, Okaywal, RaftEngine, Sled, WalDb, Walrus,
    };
    let mut rows = Vec::new();
    for (record_bytes, writers) in
        [(256, 1), (256, 2), (256, 4), (256, 16), (256, 64), (256, 512), (4096, 16), (64 << 10, 16)]
    {
        if quick && (writers == 2 || writers == 4) {
            continue;
        }
        let mut contenders = vec![Esker, RaftEngine, Okaywal, WalDb, Walrus, Fjall, Mutexed];
        // What they do is not what is asked for; once is enough for a look.
        if !quick || (record_bytes, writers) == (256, 16) {
            contenders.extend([Sled, Commitlog]);
        }
        if writers == 1 {
            contenders.push(LimitDurable);
        }
        let bytes = match record_bytes {
            256 => 64,
            4096 => 128,
            _ => 256,
        };
        rows.push(Row {
            measure: Measure::Durable { writers, record_bytes },
            contenders,
            millis: if quick { 120 } else { 600 },
            bytes: bytes * MIB,
        });
        if (record_bytes, writers) == (256, 64) {
            rows.push(Row {
                measure: Measure::Window { in_flight: 64, record_bytes },
                contenders: vec![Esker],
                millis: if quick { 120 } else { 600 },
                bytes: 128 * MIB,
            });
        }
    }
    rows.push(Row {
        measure: Measure::Bandwidth,
        contenders: vec![LimitBandwidth],
        millis: if quick { 200 } else { 500 },
        bytes: 256 * MIB,
    });
    rows
}

fn buffered(quick: bool) -> Vec<Row> {
    use Contender::{
        Commitlog, Esker, Fjall, LimitBuffered, LimitMemory, Mutexed, RaftEngine, Sled, WalDb, Walrus,
    };
    let mut rows = Vec::new();
    for (record_bytes, writers, mib) in [(64, 2, 128), (256, 2, 192), (4096, 2, 256), (64, 16, 128), (64, 64, 128)] {
        let mut contenders = vec![Esker];
        if writers == 2 {
            contenders.extend([RaftEngine, WalDb, Walrus, Fjall, Sled, Commitlog, Mutexed]);
        }
        contenders.extend([LimitBuffered, LimitMemory]);
        rows.push(Row {
            measure: Measure::Buffered { writers, record_bytes },
            contenders,
            millis: if quick { 200 } else { 500 },
            bytes: if quick { mib / 2 } else { mib } * MIB,
        });
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::{Group, rows};

    #[test]
    fn every_group_has_rows_and_every_row_has_us() {
        for group in Group::ALL {
            assert_eq!(group.name().parse::<Group>().unwrap(), group);
            for quick in [false, true] {
                let rows = rows(group, quick);
                assert!(!rows.is_empty() && rows.iter().all(|row| !row.contenders.is_empty()), "{group:?}");
            }
        }
    }
}
