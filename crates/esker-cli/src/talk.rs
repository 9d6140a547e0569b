//! What is said on standard error.
//!
//! Owns notes, error lines and progress bars. Refuses standard output.
//!
//! Colour appears on a terminal alone, and not if `NO_COLOR` is set or `TERM` is `dumb`. If standard error cannot be
//! written to, nobody is left to be told, so such errors are ignored.

use std::{fmt::Display, io::Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The voice of the command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Talk {
    quiet: bool,
}

impl Talk {
    /// A voice that says everything, or, if `quiet`, errors alone.
    pub(crate) const fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    /// Says something that is good to know.
    pub(crate) fn note(self, text: &dyn Display) {
        if !self.quiet {
            let _ = writeln!(anstream::stderr(), "{text}");
        }
    }

    /// Says what went wrong.
    pub(crate) fn error(self, text: &str) {
        // One line whatever is in it: names of files may hold line breaks.
        let text = text.replace(['\n', '\r'], " ");
        let _ = writeln!(anstream::stderr(), "\x1b[1;31mesker:\x1b[0m {text}");
    }

    /// A bar that shows how many bytes of `total` are done, or how many at all. It is drawn only if standard error is a
    /// terminal.
    pub(crate) fn progress(self, total: Option<u64>) -> ProgressBar {
        if self.quiet {
            return ProgressBar::hidden();
        }
        let template = match total {
            Some(_) => "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            None => "{spinner} {bytes} {bytes_per_sec}",
        };
        // The template is a constant, and a fault in it costs no more than the looks.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr()).with_style(style)
    }
}
