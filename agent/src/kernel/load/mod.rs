//! `carob kernel load`: puts the programs into the kernel and pins them where they outlive every agent.
//!
//! ```text
//! <bpffs>/carob/new-<version>/   being built; nobody looks here; swept by the next load
//! <bpffs>/carob/<version>/       complete: programs attached, maps pinned, those of the version before among them
//! ```
//! The rename between the two is the commit. Older versions go after it, so that no exit is missed: for a
//! moment both record, into the same maps. Run it in a process of its own, one that may be large and ends soon.
//! It keeps nothing and judges nothing.
#![expect(clippy::disallowed_methods, reason = "makes, renames and removes pin directories")]

mod error;

use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use aya::{
    Ebpf, EbpfLoader,
    programs::{BtfTracePoint, KProbe, Program, ProgramError, links::FdLink},
};
use carob_ebpf::{Layout, WIRE, map, program};
use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, open, statfs},
    mount::{MountFlags, mount},
};
use sha2::{Digest, Sha256};
use zerocopy::IntoBytes;

pub(crate) use self::error::LoadError;
use super::{btf::Btf, inherit::inherit, offsets, probes::PINNED};

/// The object that `build.rs` found. Empty: this build has none.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/carob.bpf.o"));

/// Where the kernel describes its types.
pub(super) const KERNEL_TYPES: &str = "/sys/kernel/btf/vmlinux";

/// `BPF_FS_MAGIC`.
const BPFFS: u32 = 0xcafe_4a11;

/// A load that went well.
#[derive(Debug)]
pub(crate) enum Loaded {
    /// This version was there, complete.
    AlreadyThere,
    /// It is there now.
    Fresh { limits: Limits, past: Past },
}

/// What became of what an older version had recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Past {
    /// There is none, or this version goes on with it.
    Kept,
    /// It is in a layout that this version cannot read, and gone.
    LeftBehind,
}

/// Whether an OOM kill's record can name the limit.
#[derive(Debug)]
pub(crate) enum Limits {
    Named,
    /// And why not.
    Unnamed(String),
}

/// Whether there is anything to load.
pub(super) fn has_programs() -> bool {
    !OBJECT.is_empty()
}

/// What the programs are fitted to beside the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fit {
    /// The cgroup level at which containers are.
    pub(crate) depth: u32,
    /// Bytes of the ring of events: a power of two, whole pages.
    pub(crate) ring: u32,
}

/// Where this build, fitted so, has its pins. Whatever changes what the programs do or say changes the name, which
/// begins with the number of the layout: `<wire>-<hash>`.
pub(crate) fn pins(bpffs: &Path, fit: Fit) -> PathBuf {
    let mut hash = Sha256::new();
    hash.update(OBJECT);
    hash.update(fit.depth.to_ne_bytes());
    hash.update(fit.ring.to_ne_bytes());
    let version: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    root(bpffs).join(format!("{WIRE}-{version}"))
}

/// Whether a version's maps are laid out as this build's.
fn is_alike(pins: &Path) -> bool {
    let name = pins.file_name().unwrap_or_default().to_string_lossy();
    name.split_once('-').is_some_and(|(wire, _)| wire == WIRE.to_string())
}

/// Loads this build's programs unless they are there, and removes every other version.
pub(crate) fn load(bpffs: &Path, fit: Fit) -> Result<Loaded, LoadError> {
    if !has_programs() {
        return Err(LoadError::NoPrograms);
    }
    mounted(bpffs)?;
    let root = root(bpffs);
    make(&root)?;
    let _two_loads_take_turns = lock(&root)?;
    let pins = pins(bpffs, fit);
    let (half, complete): (Vec<_>, Vec<_>) = versions(&root)?.into_iter().partition(|path| is_half(path));
    half.iter().try_for_each(|path| remove(path))?;
    let there = complete.contains(&pins);
    let older: Vec<PathBuf> = complete.into_iter().filter(|path| *path != pins).collect();
    let loaded = if there { Loaded::AlreadyThere } else { build(&root, &pins, fit, &older)? };
    older.iter().try_for_each(|path| remove(path))?;
    Ok(loaded)
}

/// Builds a version out of sight and gives it its name when it is complete.
fn build(root: &Path, pins: &Path, fit: Fit, older: &[PathBuf]) -> Result<Loaded, LoadError> {
    let half = root.join(format!("{HALF}{}", pins.file_name().unwrap_or_default().display()));
    let alike = older.iter().find(|pins| is_alike(pins));
    let limits = match begin(&half, fit, alike, AncestorCall::Used) {
        Err(LoadError::Program { .. }) => {
            remove(&half)?;
            begin(&half, fit, alike, AncestorCall::Avoided)
        }
        other => other,
    }?;
    fs::rename(&half, pins).map_err(|source| LoadError::Rename { path: half, source })?;
    let past = if alike.is_some() || older.is_empty() { Past::Kept } else { Past::LeftBehind };
    Ok(Loaded::Fresh { limits, past })
}

/// The one call that not every kernel lets the programs make.
#[derive(Clone, Copy)]
enum AncestorCall {
    Used,
    /// They find the same by themselves, and take longer.
    Avoided,
}

/// Makes the directory and puts all into it.
fn begin(
    half: &Path,
    fit: Fit,
    alike: Option<&PathBuf>,
    ancestor: AncestorCall,
) -> Result<Limits, LoadError> {
    make(half)?;
    if let Some(from) = alike {
        inherit(from, half, fit.ring)
            .map_err(|source| LoadError::Inherit { from: from.clone(), source: Box::new(source) })?;
    }
    install(half, fit, ancestor)
}

/// Loads, attaches and pins, with the maps that are pinned there already and new ones for the rest.
fn install(pins: &Path, fit: Fit, ancestor: AncestorCall) -> Result<Limits, LoadError> {
    let (mut layout, limit_fields) = layout(fit.depth)?;
    layout.tracing_has_ancestor_helper = u32::from(matches!(ancestor, AncestorCall::Used));
    let types = aya::Btf::from_sys_fs().map_err(LoadError::LoaderBtf)?;
    let mut loader = EbpfLoader::new();
    loader.btf(Some(&types)).override_global(carob_ebpf::LAYOUT, layout.as_bytes(), true);
    loader.map_max_entries(map::EVENTS, fit.ring);
    for name in PINNED {
        loader.map_pin_path(name, pins.join(name));
    }
    let mut object = loader.load(OBJECT).map_err(|source| LoadError::Object(Box::new(source)))?;
    for (name, tracepoint) in [
        (program::SIGNAL, offsets::SIGNAL),
        (program::VICTIM, offsets::VICTIM),
        (program::EXIT, offsets::EXIT),
    ] {
        let program: &mut BtfTracePoint = find(&mut object, name)?;
        let link = attach_tracepoint(program, tracepoint, &types);
        pin(link.map_err(|source| LoadError::Program { name, source: Box::new(source) })?, name, pins)?;
    }
    Ok(match limit_fields {
        LimitFields::There => name_limits(&mut object, pins),
        LimitFields::Missing => {
            Limits::Unnamed(format!("this kernel does not describe {}", offsets::OOM_KILL))
        }
    })
}

enum LimitFields {
    There,
    Missing,
}

fn layout(depth: u32) -> Result<(Layout, LimitFields), LoadError> {
    let bytes = fs::read(KERNEL_TYPES).map_err(LoadError::Types)?;
    let btf = Btf::parse(bytes).map_err(LoadError::Btf)?;
    let page_size = u32::try_from(rustix::param::page_size()).unwrap_or(u32::MAX);
    let layout = offsets::layout(&btf, depth, page_size).map_err(LoadError::Offsets)?;
    let fields =
        if offsets::has_oom_limit(&btf, &layout) { LimitFields::There } else { LimitFields::Missing };
    Ok((layout, fields))
}

fn attach_tracepoint(
    program: &mut BtfTracePoint,
    tracepoint: &str,
    types: &aya::Btf,
) -> Result<FdLink, ProgramError> {
    program.load(tracepoint, types)?;
    let id = program.attach()?;
    Ok(program.take_link(id)?.into())
}

/// Both kprobes or neither: without the second the first would claim kills that are none.
fn name_limits(object: &mut Ebpf, pins: &Path) -> Limits {
    let attached = (|| {
        let end = attach_kprobe(object, program::OOM_END)?;
        let begin = attach_kprobe(object, program::OOM_BEGIN)?;
        pin(end, program::OOM_END, pins)?;
        pin(begin, program::OOM_BEGIN, pins)
    })();
    match attached {
        Ok(()) => Limits::Named,
        Err(error) => {
            // Half a pair would stay attached: what is not pinned is gone with this process.
            let _not_there = fs::remove_file(pins.join(program::OOM_BEGIN));
            let _not_there = fs::remove_file(pins.join(program::OOM_END));
            Limits::Unnamed(one_line(&error))
        }
    }
}

/// Before Linux 5.15 a kprobe is a perf event, which cannot be pinned; the conversion says so.
fn attach_kprobe(object: &mut Ebpf, name: &'static str) -> Result<FdLink, LoadError> {
    let program: &mut KProbe = find(object, name)?;
    let attached = (|| {
        program.load()?;
        let id = program.attach(offsets::OOM_KILL, 0)?;
        program.take_link(id)
    })();
    let link = attached.map_err(|source| LoadError::Program { name, source: Box::new(source) })?;
    FdLink::try_from(link).map_err(|source| LoadError::Link { name, source: Box::new(source) })
}

fn pin(link: FdLink, name: &'static str, pins: &Path) -> Result<(), LoadError> {
    let pinned = link.pin(pins.join(name));
    pinned.map(drop).map_err(|source| LoadError::Pin {
        name,
        path: pins.to_owned(),
        source: Box::new(source),
    })
}

fn find<'a, P>(object: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, LoadError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let program = object.program_mut(name).ok_or(LoadError::Missing { name })?;
    program.try_into().map_err(|source| LoadError::Program { name, source: Box::new(source) })
}

/// An error and its sources, without the verifier's log.
pub(super) fn one_line(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> =
        sources.map(|error| error.to_string().lines().next().unwrap_or_default().to_owned()).collect();
    texts.join(": ")
}

/// Begins the name of a directory that is not complete. A bpffs name may hold no dot.
const HALF: &str = "new-";

fn is_half(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(HALF.as_bytes()))
}

fn root(bpffs: &Path) -> PathBuf {
    bpffs.join("carob")
}

/// Whether a directory is on a bpffs.
pub(super) fn is_bpffs(path: &Path) -> bool {
    // `f_type` is signed or not, and wide or not, by architecture.
    statfs(path).is_ok_and(|fs| fs.f_type as u32 == BPFFS)
}

fn mounted(bpffs: &Path) -> Result<(), LoadError> {
    if is_bpffs(bpffs) {
        return Ok(());
    }
    make(bpffs)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("bpf", bpffs, "bpf", flags, c"mode=0700")
        .map_err(|source| LoadError::Mount { path: bpffs.to_owned(), source })
}

fn make(path: &Path) -> Result<(), LoadError> {
    fs::create_dir_all(path).map_err(|source| LoadError::Make { path: path.to_owned(), source })
}

fn remove(path: &Path) -> Result<(), LoadError> {
    fs::remove_dir_all(path).map_err(|source| LoadError::Remove { path: path.to_owned(), source })
}

fn versions(root: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let failed = |source| LoadError::List { path: root.to_owned(), source };
    fs::read_dir(root).map_err(failed)?.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
}

/// Held until dropped.
fn lock(root: &Path) -> Result<OwnedFd, LoadError> {
    let failed = |source| LoadError::Lock { path: root.to_owned(), source };
    let directory = open(root, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    flock(&directory, FlockOperation::LockExclusive).map_err(failed)?;
    Ok(directory)
}
