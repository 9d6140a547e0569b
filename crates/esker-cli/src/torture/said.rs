//! What a child tells its parent, a line each.
//!
//! Owns the two directions of this little language. A child that is killed may leave half a line, which says nothing.

use std::fmt;

use esker::Lsn;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It is about to open the log.
    Start,
    /// The log is open.
    Open {
        /// Where the log ended when nothing had been appended yet.
        end: Lsn,
        /// Where it began.
        floor: Lsn,
    },
    /// Another process has the log open.
    Locked,
    /// A record is durable.
    Ack {
        /// The thread that appended it.
        writer: u32,
        /// The how manieth of that thread.
        counter: u64,
        /// Where it is.
        lsn: Lsn,
    },
    /// The log is about to be truncated.
    Ask(Lsn),
    /// The log begins there now.
    Cut(Lsn),
    /// A record was appended and became durable since the parent asked for the n-th time.
    Pong(u64),
    /// The log is closed and ends there.
    Closed(Lsn),
    /// A call failed, or found what it should not.
    Failed(String),
    /// The disk has no room.
    NoSpace(String),
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("start"),
            Self::Open { end, floor } => write!(f, "open {end} {floor}"),
            Self::Locked => f.write_str("locked"),
            Self::Ack { writer, counter, lsn } => write!(f, "ack {writer} {counter} {lsn}"),
            Self::Ask(lsn) => write!(f, "ask {lsn}"),
            Self::Cut(lsn) => write!(f, "cut {lsn}"),
            Self::Pong(ping) => write!(f, "pong {ping}"),
            Self::Closed(end) => write!(f, "closed {end}"),
            Self::Failed(text) => write!(f, "failed {}", text.replace('\n', " ")),
            Self::NoSpace(text) => write!(f, "nospace {}", text.replace('\n', " ")),
        }
    }
}

impl Said {
    /// Reads a line, without its line break.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut numbers = rest.split(' ').map(|number| number.parse::<u64>().ok());
        let mut number = || numbers.next().flatten();
        Some(match word {
            "start" => Self::Start,
            "open" => Self::Open { end: Lsn::new(number()?), floor: Lsn::new(number()?) },
            "locked" => Self::Locked,
            "ack" => Self::Ack { writer: u32::try_from(number()?).ok()?, counter: number()?, lsn: Lsn::new(number()?) },
            "ask" => Self::Ask(Lsn::new(number()?)),
            "cut" => Self::Cut(Lsn::new(number()?)),
            "pong" => Self::Pong(number()?),
            "closed" => Self::Closed(Lsn::new(number()?)),
            "failed" => Self::Failed(rest.to_owned()),
            "nospace" => Self::NoSpace(rest.to_owned()),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use esker::Lsn;

    use super::Said;

    #[test]
    fn what_is_said_is_understood() {
        for said in [
            Said::Start,
            Said::Open { end: Lsn::new(7), floor: Lsn::new(5) },
            Said::Locked,
            Said::Ack { writer: 3, counter: u64::MAX, lsn: Lsn::new(64) },
            Said::Ask(Lsn::new(1)),
            Said::Cut(Lsn::new(2)),
            Said::Pong(9),
            Said::Closed(Lsn::new(10)),
            Said::Failed("for a reason".to_owned()),
            Said::NoSpace("for want of room".to_owned()),
        ] {
            assert_eq!(Said::parse(&said.to_string()), Some(said));
        }
        assert_eq!(Said::parse("ack 1 2"), None);
        assert_eq!(Said::parse("hello"), None);
    }
}
