//! The kernel's side of carob: how many containers the pinned maps know. The maps are found by what the kernel says of
//! them; what is in the entries is carob's own affair.

use std::{
    ffi::CString,
    fs, io,
    mem::size_of,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

const PINS: &str = "/sys/fs/bpf";
/// `BPF_MAP_TYPE_HASH` and `BPF_MAP_TYPE_PERCPU_HASH`. The LRU kinds are caches: they empty themselves.
const HASHES: [&str; 2] = ["1", "5"];
/// A cgroup's id.
const KEY: usize = size_of::<u64>();
const OBJ_GET: libc::c_long = 7;
const MAP_GET_NEXT_KEY: libc::c_long = 4;

/// Entries of all hash maps keyed by a cgroup.
pub(crate) fn entries() -> Result<usize> {
    let mut maps = 0;
    let mut entries = 0;
    for pin in pins(Path::new(PINS)) {
        // Programs and links are pinned there as well.
        let Ok(fd) = open(&pin) else { continue };
        if is_keyed_by_cgroup(&fd)? {
            maps += 1;
            entries += count(&fd).with_context(|| format!("read the map {}", pin.display()))?;
        }
    }
    ensure!(maps > 0, "no map of containers is pinned below {PINS}");
    Ok(entries)
}

fn pins(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(pins(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn is_keyed_by_cgroup(fd: &OwnedFd) -> Result<bool> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).context("read fdinfo")?;
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    let hash = field("map_type").is_some_and(|kind| HASHES.contains(&kind));
    Ok(hash && field("key_size") == Some(&KEY.to_string()))
}

fn open(pin: &Path) -> Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        path: u64,
        fd: u32,
        flags: u32,
    }
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let attributes = Attributes { path: path.as_ptr().expose_provenance() as u64, fd: 0, flags: 0 };
    let fd = bpf(OBJ_GET, &attributes)?;
    #[expect(unsafe_code, reason = "a new descriptor is a number until somebody owns it")]
    // SAFETY: the call has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn count(fd: &OwnedFd) -> Result<usize> {
    #[repr(C)]
    struct Attributes {
        fd: u32,
        padding: u32,
        key: u64,
        next: u64,
    }
    let mut key: Option<u64> = None;
    let mut count = 0;
    loop {
        let mut next = 0_u64;
        let attributes = Attributes {
            fd: fd.as_raw_fd().try_into()?,
            padding: 0,
            key: key.as_ref().map_or(0, |key| (&raw const *key).expose_provenance() as u64),
            next: (&raw mut next).expose_provenance() as u64,
        };
        match bpf(MAP_GET_NEXT_KEY, &attributes) {
            Err(fault) if fault.raw_os_error() == Some(libc::ENOENT) => return Ok(count),
            other => other.context("read the next key")?,
        };
        count += 1;
        key = Some(next);
    }
}

/// `bpf(2)` with that part of `union bpf_attr` that the command knows.
fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<i32> {
    #[expect(unsafe_code, reason = "rustix has no bpf(2)")]
    // SAFETY: the pointer and the size are those of one live value without padding; the addresses in it lead to live
    // buffers of the sizes that the two commands used here read and write: a path that ends with zero, keys of KEY bytes.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size_of::<T>()) };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(i32::try_from(answer).map_err(io::Error::other)?)
    }
}
