//! The command line.

use std::path::PathBuf;

use crate::{Fallible, plan::Group};

const HELP: &str = "\
esker-compare [--quick] [--rounds N] [--only GROUP[,GROUP]] [--dir PATH] [--out PATH] [--with FILE]

  --quick        a look in minutes: fewer, shorter rounds and smaller logs
  --rounds N     how often each contender gets its turn (5, or 3 with --quick)
  --only GROUPS  durable, buffered, append, latency, open, read, memory, bytes (all of these),
                 or pages
  --dir PATH     where the logs are written while they are measured; must be on a real disk
  --with FILE    what `cargo xtask bench pages` found by itself, to be told in the same report
  --out PATH     where report.md, report.json and the charts go (target/bench-compare)
";

/// What the user asked for.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    pub(crate) groups: Vec<Group>,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) out: PathBuf,
    pub(crate) with: Option<PathBuf>,
}

pub(crate) fn parse() -> Fallible<Args> {
    from(lexopt::Parser::from_env())
}

fn from(mut parser: lexopt::Parser) -> Fallible<Args> {
    use lexopt::prelude::{Long, Short, ValueExt};
    let (mut quick, mut rounds, mut groups, mut dir, mut with) = (false, None, Vec::new(), None, None);
    let mut out = PathBuf::from("target/bench-compare");
    while let Some(argument) = parser.next()? {
        match argument {
            Long("quick") => quick = true,
            Long("rounds") => rounds = Some(parser.value()?.parse::<usize>()?.max(1)),
            Long("only") => {
                for name in parser.value()?.string()?.split(',') {
                    groups.push(name.parse()?);
                }
            }
            Long("dir") => dir = Some(parser.value()?.into()),
            Long("with") => with = Some(parser.value()?.into()),
            Long("out") => out = parser.value()?.into(),
            Long("help") | Short('h') => {
                print!("{HELP}");
                std::process::exit(0);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if groups.is_empty() {
        groups = Group::OF_LOGS.to_vec();
    }
    Ok(Args { quick, rounds: rounds.unwrap_or(if quick { 3 } else { 5 }), groups, dir, out, with })
}

#[cfg(test)]
mod tests {
    use super::from;
    use crate::plan::Group;

    #[test]
    fn groups_are_named_and_the_rest_has_defaults() {
        let args = from(lexopt::Parser::from_args(["--only", "durable,buffered", "--quick"])).unwrap();
        assert_eq!((args.groups, args.quick, args.rounds), (vec![Group::Durable, Group::Buffered], true, 3));
        let args = from(lexopt::Parser::from_args(["--rounds=7"])).unwrap();
        assert_eq!((args.groups.len(), args.quick, args.rounds), (Group::OF_LOGS.len(), false, 7));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for wrong in [&["--only", "everything"][..], &["--rounds", "many"], &["stray"]] {
            assert!(from(lexopt::Parser::from_args(wrong)).is_err(), "{wrong:?}");
        }
    }
}
