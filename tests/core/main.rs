//! The core end to end with a fake executor: plan, run, crash, resume, extend, share, edit, in milliseconds each.

mod edits;
mod faults;
mod house;
mod layout;
mod messages;
mod probes;
mod reproduce;
mod resume;
mod retention;
mod versions;
mod world;
