//! Puts the kernel programs next to the compiler: the object that `CAROB_BPF_OBJECT` names, or nothing. An
//! agent built with nothing works without them and says so. It does not build the programs: `cargo xtask
//! build` does.

use std::{env, error::Error, fs, path::PathBuf};

const OBJECT: &str = "CAROB_BPF_OBJECT";

#[expect(clippy::disallowed_methods, reason = "a build script reads its environment and writes its output")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={OBJECT}");
    println!("cargo::rerun-if-changed=build.rs");
    let object = match env::var_os(OBJECT) {
        Some(path) => {
            let path = PathBuf::from(path);
            println!("cargo::rerun-if-changed={}", path.display());
            fs::read(&path).map_err(|error| format!("{OBJECT}: read {}: {error}", path.display()))?
        }
        None => Vec::new(),
    };
    let out = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?;
    fs::write(PathBuf::from(out).join("carob.bpf.o"), object)?;
    Ok(())
}
