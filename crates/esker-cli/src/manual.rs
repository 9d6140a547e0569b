//! `esker completions` and `esker man`: what is made of the grammar of the command line.

use clap::CommandFactory;
use clap_mangen::Man;

use crate::{
    args::{self, Args},
    ending::{Ending, Failure, Outcome},
    output::Output,
};

const NAME: &str = "esker";

/// Runs `esker completions`.
pub(crate) fn completions(args: &args::Completions) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), NAME, &mut script);
    write(&script)
}

/// Runs `esker man`.
pub(crate) fn man(args: &args::Man) -> Outcome {
    let mut command = Args::command();
    // So that the pages of its commands have what is common to all of them.
    command.build();
    if let Some(name) = &args.command {
        let found = command.get_subcommands().find(|command| command.get_name() == name).cloned();
        command = found.ok_or_else(|| Failure::usage(format!("there is no command {name:?}; see `esker --help`")))?;
    }
    let mut page = Vec::new();
    Man::new(command).render(&mut page).map_err(|error| Failure::output(&error))?;
    write(&page)
}

fn write(bytes: &[u8]) -> Outcome {
    let mut out = Output::lock();
    out.bytes(bytes)?;
    out.finish()?;
    Ok(Ending::Done)
}
