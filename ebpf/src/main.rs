//! The kernel programs. Built for `bpfel-unknown-none` by `cargo xtask build`; on the host an empty program,
//! so that the workspace builds everywhere. What they say to the agent is in `lib.rs`.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod programs;

#[cfg(not(target_arch = "bpf"))]
fn main() {}
