//! carob seen from outside, as one static binary: the cases, the runner of them inside the guest, the guest's side of
//! `cargo xtask run`, and the workloads of the test containers. It knows carob only by its binary, files and sockets.

#![expect(
    clippy::disallowed_methods,
    reason = "a test program: files, processes and time are all it deals with"
)]

mod bare;
mod bench;
mod bpf;
#[path = "../cases/mod.rs"]
mod cases;
mod channel;
mod client;
mod guest;
mod guest_run;
mod http;
mod lots;
mod maps;
mod pods;
mod stream;
mod traces;
mod wire;
mod work;
mod world;

use std::{env, path::Path, process::ExitCode};

use anyhow::{Result, bail};

const USAGE: &str = "usage: carob-tests list | guest [--full] [--boot=N] [--seed=N] [--note=WORD]… CASE… | client CASE | guest-run [--remove] --settle S FILE | bench NAME … | work VERB …";

fn main() -> ExitCode {
    match verb() {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("{fault:?}");
            ExitCode::FAILURE
        }
    }
}

fn verb() -> Result<ExitCode> {
    let words: Vec<String> = env::args().collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        // In the test image the binary is called /work and takes a workload's name at once.
        [name, ref workload @ ..] if Path::new(name).ends_with("work") => work::run(workload),
        [_, "work", ref workload @ ..] => work::run(workload),
        [_, "list"] => cases::list(),
        [_, "guest", ref words @ ..] => guest::run(words),
        [_, "case", ref words @ ..] => guest::run_one(words),
        [_, "client", case] => cases::kubectl::on_host(case).map(|()| ExitCode::SUCCESS),
        [_, "bench", ref words @ ..] => bench::run(words),
        [_, "guest-run", ref words @ ..] => guest_run::run(words),
        _ => bail!(USAGE),
    }
}
