//! `bpf(2)`, as far as the cases and the bench look at what carob has pinned: maps by their pins, programs by their
//! numbers. What is in the entries is for others to know.

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

const MAP_LOOKUP_ELEM: libc::c_long = 1;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const MAP_GET_NEXT_KEY: libc::c_long = 4;
const OBJ_GET: libc::c_long = 7;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const ENABLE_STATS: libc::c_long = 32;

/// All pins below a directory: maps, programs and links.
pub(crate) fn pins(dir: &Path) -> Vec<PathBuf> {
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

/// Opens what is pinned there.
pub(crate) fn open(pin: &Path) -> Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        path: u64,
        fd: u32,
        flags: u32,
    }
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let attributes = Attributes { path: path.as_ptr().expose_provenance() as u64, fd: 0, flags: 0 };
    Ok(new_descriptor(OBJ_GET, &attributes)?)
}

/// The program with that number.
pub(crate) fn program(id: u32) -> Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        id: u32,
        next: u32,
        flags: u32,
    }
    new_descriptor(PROG_GET_FD_BY_ID, &Attributes { id, next: 0, flags: 0 })
        .with_context(|| format!("open kernel program {id}"))
}

/// Has a program run at the tracepoint that it was loaded for, until this is dropped.
pub(crate) fn attach(program: &OwnedFd) -> Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        name: u64,
        program: u32,
        padding: u32,
    }
    let attributes = Attributes { name: 0, program: program.as_raw_fd().try_into()?, padding: 0 };
    new_descriptor(RAW_TRACEPOINT_OPEN, &attributes).context("attach a kernel program")
}

/// The kernel counts and times the runs of all programs until this is dropped.
pub(crate) fn count_runs() -> Result<OwnedFd> {
    /// `BPF_STATS_RUN_TIME`.
    const RUN_TIME: u32 = 0;
    new_descriptor(ENABLE_STATS, &RUN_TIME).context("have the kernel time its programs")
}

/// A field of what the kernel says of an open map, program or link.
pub(crate) fn said(fd: &OwnedFd, field: &str) -> Result<Option<String>> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).context("read fdinfo")?;
    let mut values = info.lines().filter_map(|line| line.strip_prefix(field)?.strip_prefix(":\t"));
    Ok(values.next().map(|value| value.trim().to_owned()))
}

#[repr(C)]
struct Element {
    fd: u32,
    padding: u32,
    key: u64,
    /// Or the next key.
    value: u64,
    flags: u64,
}

impl Element {
    fn of<V>(map: &OwnedFd, key: Option<&u64>, value: *const V) -> Result<Self> {
        Ok(Self {
            fd: map.as_raw_fd().try_into()?,
            padding: 0,
            key: key.map_or(0, |key| (&raw const *key).expose_provenance() as u64),
            value: value.expose_provenance() as u64,
            flags: 0,
        })
    }
}

/// How many entries a map with keys of eight bytes has.
pub(crate) fn count(map: &OwnedFd) -> Result<usize> {
    let mut key: Option<u64> = None;
    let mut count = 0;
    loop {
        let mut next = 0_u64;
        match bpf(MAP_GET_NEXT_KEY, &Element::of(map, key.as_ref(), &raw mut next)?) {
            Err(fault) if fault.raw_os_error() == Some(libc::ENOENT) => return Ok(count),
            other => other.context("read the next key")?,
        };
        count += 1;
        key = Some(next);
    }
}

/// Reads an entry into `value`, which has the map's size of value (for each possible processor, if the map is such).
pub(crate) fn look_up<V>(map: &OwnedFd, key: u64, value: &mut [V]) -> Result<()> {
    fits(map, value)?;
    bpf(MAP_LOOKUP_ELEM, &Element::of(map, Some(&key), value.as_mut_ptr())?).context("read a map's entry")?;
    Ok(())
}

/// Writes an entry.
pub(crate) fn update<V>(map: &OwnedFd, key: u64, value: &[V]) -> Result<()> {
    fits(map, value)?;
    bpf(MAP_UPDATE_ELEM, &Element::of(map, Some(&key), value.as_ptr())?).context("write a map's entry")?;
    Ok(())
}

/// How many values an entry of a map for each processor has.
pub(crate) fn possible_processors() -> Result<usize> {
    const POSSIBLE: &str = "/sys/devices/system/cpu/possible";
    let list = fs::read_to_string(POSSIBLE).with_context(|| format!("read {POSSIBLE}"))?;
    // `0-3`, or `0` alone.
    let last = list.trim().rsplit(['-', ',']).next().unwrap_or_default();
    Ok(last.parse::<usize>().with_context(|| format!("read the processors from {list:?}"))? + 1)
}

/// The kernel reads and writes as much as the map says, whatever the caller has.
fn fits<V>(map: &OwnedFd, value: &[V]) -> Result<()> {
    /// `BPF_MAP_TYPE_PERCPU_HASH`.
    const PER_PROCESSOR: &str = "5";
    let size: usize = said(map, "value_size")?.context("a map without a size of value")?.parse()?;
    let values = match said(map, "map_type")?.as_deref() {
        Some(PER_PROCESSOR) => possible_processors()?,
        _ => 1,
    };
    ensure!(
        size_of_val(value) == size.next_multiple_of(8) * values,
        "{values} values of {size} bytes are not {} bytes",
        size_of_val(value)
    );
    Ok(())
}

/// `bpf(2)` with that part of `union bpf_attr` that the command knows.
fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<i32> {
    #[expect(unsafe_code, reason = "rustix has no bpf(2)")]
    // SAFETY: the pointer and the size are those of one live value without padding; the addresses in it lead to live
    // buffers of the sizes that the commands used here read and write: a path that ends with zero, keys of eight bytes,
    // values as `fits` has found them.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size_of::<T>()) };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(i32::try_from(answer).map_err(io::Error::other)?)
    }
}

fn new_descriptor<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    let fd = bpf(command, attributes)?;
    #[expect(unsafe_code, reason = "a new descriptor is a number until somebody owns it")]
    // SAFETY: the call has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
