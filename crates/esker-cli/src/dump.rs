//! `esker dump`: every message of any kind, one line each.

use std::fmt::Display;

use esker::{Lsn, MessageInfo};

use crate::{
    args::Dump,
    cat::{self, Next},
    ending::Outcome,
    interrupt,
    output::Output,
    talk::Talk,
};

/// Runs the command.
pub(crate) fn run(args: &Dump, json: bool, talk: Talk) -> Outcome {
    interrupt::end_at_once()?;
    let reader = cat::open(&args.dir)?;
    let (floor, durable) = (reader.floor(), reader.report().mark);
    let mut out = Output::lock();
    let ending = cat::each(reader.messages(), &args.dir, talk, &mut out, |out, message| {
        out.line(&Row { message, state: state(message.lsn, floor, durable), json })?;
        Ok(Next::GoOn)
    })?;
    out.finish()?;
    Ok(ending)
}

fn state(lsn: Lsn, floor: Lsn, durable: Lsn) -> &'static str {
    if lsn < floor {
        "truncated"
    } else if lsn < durable {
        "durable"
    } else {
        "written"
    }
}

/// One line.
struct Row<'a> {
    message: &'a MessageInfo,
    state: &'static str,
    json: bool,
}

impl Display for Row<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let MessageInfo { lsn, segment, offset, len, crc32, epoch, mark, .. } = self.message;
        let (kind, state) = (self.message.kind.name(), self.state);
        if self.json {
            write!(f, r#"{{"lsn":{lsn},"segment":{segment},"offset":{offset},"kind":"{kind}","len":{len},"#)?;
            write!(f, r#""crc32":"{crc32:08x}","state":"{state}","epoch":{epoch},"mark_lsn":{mark}}}"#)
        } else {
            write!(f, "{lsn}\t{segment}\t{offset}\t{kind}\t{len}\t{crc32:08x}\t{state}")
        }
    }
}
