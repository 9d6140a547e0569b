//! The `esker` command: append to, read, follow, check, mend and truncate an esker log, and look into a page store.
//!
//! Owns the command line: arguments, formats, the pipeline from an input to acknowledgements, exit codes, and what is
//! said on standard error. Refuses whatever a user of the library would want as well: that belongs to the layers below.
//!
//! # Invariants
//!
//! - L1 (data and talk): standard output carries data alone, through one locked buffer; everything else goes to standard
//!   error, where an error is one line that begins with `esker: `.
//! - L2 (one exit): every way out passes [`Ending`], whose numbers are the contract. Only an interrupted reading command
//!   ends elsewhere, in [`interrupt`], with the same number.
//! - L3 (a reader that leaves is no error): a broken pipe on standard output ends the command quietly.
//! - L4 (reading commands never write): all but `append`, `import`, `truncate`, `repair --yes`, `torture` and `fsync-test` open the log read-only.
#![forbid(unsafe_code)]

mod append;
mod args;
mod blobs;
mod cat;
mod dump;
mod ending;
mod export;
mod fsync_test;
mod interrupt;
mod manual;
mod map;
mod output;
mod pages;
mod repair;
mod salvage;
mod size;
mod stat;
mod tail;
mod talk;
mod torture;
mod truncate;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::{Args, Command},
    ending::{Ending, Failure},
    talk::Talk,
};

fn main() -> ExitCode {
    // A wrong command line ends here, in clap's own words and with its code, which is that of `Ending::Usage`.
    let args = Args::parse();
    let talk = Talk::new(args.quiet);
    let outcome = match &args.command {
        Command::Append(append) => append::run(append, args.json, talk),
        Command::Cat(cat) => cat::run(cat, args.json, talk),
        Command::Tail(tail) => tail::run(tail, args.json, talk),
        Command::Dump(dump) => dump::run(dump, args.json, talk),
        Command::Stat(stat) if pages::is_store(&stat.dir) => pages::stat(stat, args.json),
        Command::Stat(stat) => stat::run(stat, args.json),
        Command::Pages(pages) => pages::list(pages, args.json),
        Command::Blobs(blobs) if pages::is_store(&blobs.dir) => pages::files(blobs, args.json),
        Command::Blobs(blobs) => blobs::run(blobs, args.json, talk),
        Command::Map(map) => map::run(map, args.json),
        Command::Verify(verify) if pages::is_store(&verify.dir) => pages::verify(verify, args.json, talk),
        Command::Verify(verify) => verify::run(verify, args.json, talk),
        Command::Salvage(salvage) => salvage::run(salvage, args.json, talk),
        Command::Repair(repair) => repair::run(repair, args.json, talk),
        Command::Truncate(truncate) => truncate::run(truncate, args.json, talk),
        Command::Export(export) => export::export(export, talk),
        Command::Import(import) => export::import(import, args.json, talk),
        Command::FsyncTest(test) => fsync_test::run(test, args.json, talk),
        Command::Completions(completions) => manual::completions(completions),
        Command::Man(man) => manual::man(man),
        Command::Torture(torture) => torture::run(torture, args.json, talk),
        Command::TortureLife(life) => torture::live(life),
    };
    let ending = outcome.unwrap_or_else(|failure| match failure {
        Failure::OutputClosed => Ending::Done,
        Failure::Told { ending, message } => {
            talk.error(&message);
            ending
        }
    });
    ending.into()
}
