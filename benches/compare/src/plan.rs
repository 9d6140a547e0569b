//! Which measures there are, who takes part in each, and how long they take.

use std::{path::PathBuf, str::FromStr};

use crate::{
    Failure,
    contender::Contender,
    measure::{Ending, Measure, Pace, Place, Step, Task},
};

/// What can be asked for alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    Durable,
    Buffered,
    Append,
    Latency,
    Open,
    Read,
    Memory,
    Bytes,
    /// The page store, which is compared with other peers. Only if it is asked for.
    Pages,
}

impl Group {
    pub(crate) const OF_LOGS: [Self; 8] =
        [Self::Durable, Self::Buffered, Self::Append, Self::Latency, Self::Open, Self::Read, Self::Memory, Self::Bytes];

    fn all() -> impl Iterator<Item = Self> {
        Self::OF_LOGS.into_iter().chain([Self::Pages])
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::Buffered => "buffered",
            Self::Append => "append",
            Self::Latency => "latency",
            Self::Open => "open",
            Self::Read => "read",
            Self::Memory => "memory",
            Self::Bytes => "bytes",
            Self::Pages => "pages",
        }
    }
}

impl FromStr for Group {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self, Failure> {
        Self::all().find(|group| group.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Self::all().map(Self::name).collect();
            format!("there is no group `{name}`, only {}", names.join(", ")).into()
        })
    }
}

/// A measure, who takes part, and on what scale.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) measure: Measure,
    pub(crate) contenders: Vec<Contender>,
    /// How long to measure.
    pub(crate) millis: u64,
    /// How many bytes to append or prepare.
    pub(crate) bytes: u64,
    /// The name of a log that is made once, for all rounds and all rows that name it; else each round has a fresh one.
    pub(crate) prepared: Option<&'static str>,
    /// Whether one round is enough, because it takes many samples itself.
    pub(crate) once: bool,
}

impl Row {
    fn new(measure: Measure, contenders: Vec<Contender>, millis: u64, bytes: u64) -> Self {
        Self { measure, contenders, millis, bytes, prepared: None, once: false }
    }

    pub(crate) fn task(&self, contender: Contender) -> Task {
        let Self { measure, millis, bytes, .. } = *self;
        Task { step: Step::Run, measure, contender, dir: PathBuf::new(), millis, bytes }
    }

    /// Whether the log is left by a killed process before each round.
    pub(crate) fn crashes(&self) -> bool {
        matches!(self.measure, Measure::Open { ending: Ending::Killed, .. })
    }
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

pub(crate) fn rows(group: Group, quick: bool) -> Vec<Row> {
    match group {
        Group::Durable => durable(quick),
        Group::Buffered => buffered(quick),
        Group::Append => append(quick),
        Group::Latency => latency(quick),
        Group::Open => open(quick),
        Group::Read => read(quick),
        Group::Memory => {
            let bytes = if quick { GIB } else { 10 * GIB };
            vec![Row { once: true, ..Row::new(Measure::Memory, vec![Contender::Esker], 0, bytes) }]
        }
        Group::Pages => vec![pages(quick)],
        Group::Bytes => {
            vec![Row::new(Measure::DeviceBytes, vec![Contender::Esker], if quick { 300 } else { 1000 }, 64 * MIB)]
        }
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
        // What fits the time at several times the speed that is expected.
        let (full_mib, quick_mib) = match record_bytes {
            256 => (64, 32),
            4096 => (128, 64),
            _ => (256, 192),
        };
        let bytes = if quick { quick_mib } else { full_mib };
        let millis = if quick { 120 } else { 600 };
        rows.push(Row::new(Measure::Durable { writers, record_bytes }, contenders, millis, bytes * MIB));
        if (record_bytes, writers) == (256, 64) {
            let measure = Measure::Window { in_flight: 64, record_bytes };
            let bytes = if quick { 64 } else { 128 } * MIB;
            rows.push(Row::new(measure, vec![Esker], millis, bytes));
            for in_flight in [64, 100_000] {
                let measure = Measure::Tickets { in_flight, record_bytes };
                rows.push(Row::new(measure, vec![Esker], millis, bytes * 2));
            }
            for groups in [16, 64, 256] {
                let measure = Measure::Groups { groups, record_bytes };
                rows.push(Row::new(measure, vec![Esker, RaftEngine], millis, bytes));
            }
        }
    }
    rows.push(Row::new(
        Measure::Bandwidth,
        vec![LimitBandwidth],
        if quick { 120 } else { 500 },
        if quick { 64 } else { 256 } * MIB,
    ));
    rows
}

fn buffered(quick: bool) -> Vec<Row> {
    use Contender::{
        Commitlog, Esker, EskerBatched, Fjall, LimitBuffered, LimitMemory, Mutexed, RaftEngine, Sled, WalDb, Walrus,
    };
    let mut rows = Vec::new();
    for (record_bytes, writers, mib) in [(64, 2, 128), (256, 2, 192), (4096, 2, 256), (64, 16, 128), (64, 64, 128)] {
        let mut contenders = vec![Esker];
        if writers == 2 {
            // What a batch saves is lost among larger records.
            if record_bytes < 4096 {
                contenders.push(EskerBatched);
            }
            contenders.extend([RaftEngine, WalDb, Walrus, Fjall, Sled, Commitlog, Mutexed]);
        }
        contenders.extend([LimitBuffered, LimitMemory]);
        let (millis, mib) = if quick { (120, mib / 4) } else { (500, mib) };
        rows.push(Row::new(Measure::Buffered { writers, record_bytes }, contenders, millis, mib * MIB));
    }
    rows
}

fn append(quick: bool) -> Vec<Row> {
    use Contender::{Esker, EskerBatched, LimitMemory};
    let row = |writers| {
        let measure = Measure::AppendPath { writers, record_bytes: 64 };
        Row::new(measure, vec![Esker, EskerBatched, LimitMemory], if quick { 200 } else { 500 }, 0)
    };
    vec![row(1), row(2)]
}

fn latency(quick: bool) -> Vec<Row> {
    use Contender::{Esker, LimitMemory, Mutexed};
    let row = |pace, bytes| {
        let contenders = vec![Esker, Mutexed, LimitMemory];
        Row::new(Measure::Latency { pace }, contenders, if quick { 300 } else { 1000 }, bytes)
    };
    vec![row(Pace::Slow, 64 * MIB), row(Pace::Full, 256 * MIB)]
}

fn open(quick: bool) -> Vec<Row> {
    let sizes =
        if quick { [("open-128", 128), ("open-1024", 1024)] } else { [("open-1024", 1024), ("open-8192", 8192)] };
    let row = |(name, log_mib): (&'static str, u32), ending| {
        let measure = Measure::Open { log_mib, ending };
        Row { prepared: Some(name), ..Row::new(measure, vec![Contender::Esker], 0, u64::from(log_mib) * MIB) }
    };
    let rows = |ending| sizes.map(|size| row(size, ending));
    [rows(Ending::Closed), rows(Ending::Killed)].concat()
}

fn read(quick: bool) -> Vec<Row> {
    use Contender::{Esker, LimitPread, LimitRead, RaftEngine, WalDb};
    let bytes = if quick { 128 } else { 512 } * MIB;
    let millis = if quick { 200 } else { 500 };
    let all = Row::new(Measure::Iterate, vec![Esker, RaftEngine, WalDb, LimitRead], 0, bytes);
    let file = Row::new(Measure::RandomRead { from: Place::File }, vec![Esker, LimitPread], millis, bytes / 2);
    let buffer = Row::new(Measure::RandomRead { from: Place::Buffer }, vec![Esker], millis, bytes);
    vec![Row { prepared: Some("iterate"), ..all }, Row { prepared: Some("random"), ..file }, buffer]
}

fn pages(quick: bool) -> Row {
    use Contender::{Esker, Fjall, Marble, Redb, Sled};
    let (millis, pages) = if quick { (1000, 1 << 16) } else { (5000, 1 << 18) };
    Row::new(Measure::ReplaceGet { pages }, vec![Esker, Sled, Marble, Redb, Fjall], millis, 0)
}

#[cfg(test)]
mod tests {
    use super::{Group, rows};

    #[test]
    fn every_group_has_rows_and_every_row_has_us() {
        for group in Group::all() {
            assert_eq!(group.name().parse::<Group>().unwrap(), group);
            for quick in [false, true] {
                let rows = rows(group, quick);
                assert!(!rows.is_empty() && rows.iter().all(|row| !row.contenders.is_empty()), "{group:?}");
            }
        }
    }
}
