//! What the kernel tells: deaths and signals from the BPF programs, exits from pidfds. It hears and hands on;
//! what a death means is `account`'s to say.
//!
//! `carob kernel load`, a process of its own because decoding the kernel's types takes tens of megabytes,
//! loads the programs and pins them. The agent opens the pins. The programs go on recording while no agent
//! runs.

mod btf;
pub(crate) mod figures;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod fuzz;
mod inherit;
pub(crate) mod load;
mod offsets;
pub(crate) mod pidfd;
pub(crate) mod probes;
pub(crate) mod support;
mod verb;

pub(crate) use verb::{Verb, run};
