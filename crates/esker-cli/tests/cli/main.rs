//! Runs the real command, as people and scripts do, and looks at what it prints, how it exits, and what is in the
//! directory afterwards.

mod append;
mod disturb;
mod mend;
mod pages;
mod read;
mod refuse;
mod support;
mod talk;
mod torture;
