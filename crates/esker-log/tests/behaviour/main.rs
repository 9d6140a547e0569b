//! What a log promises, checked from outside: one program, because linking costs more than running.

mod damage;
mod faults;
mod leaks;
mod lifecycle;
mod model;
mod reading;
mod scrub;
mod support;
mod truncation;
