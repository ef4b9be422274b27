//! Real training on a micro world (16 wide, 40 steps): whatever cuts a run had, its result is the same bytes.
//!
//! Everything that trains is in this one binary, because building burn is the cost.

#[path = "../core/world.rs"]
mod world;

mod bench;
mod calibration;
mod cuts;
mod kills;
mod learning;
mod reproduce;
