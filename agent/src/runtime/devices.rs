//! Narrows what a container's processes may open: a program on its cgroup, beside the one the runtime attaches.
//!
//! The runtime's own always lets the box's console and tun device through (`default_allow_devices` in libcgroups 0.7.0),
//! whatever the spec says. Both programs must agree before a device is opened, so this one says all that is allowed.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use libcontainer::oci_spec::runtime::{LinuxDeviceType, Spec};
use rustix::fs::{Mode, OFlags, open};

const CGROUPS: &str = "/sys/fs/cgroup";

/// `union bpf_attr` is longer in newer kernels; what is not given counts as zero.
const ATTRIBUTES: usize = 128;
const PROG_LOAD: libc::c_long = 5;
const PROG_ATTACH: libc::c_long = 8;
const CGROUP_DEVICE_PROGRAM: u32 = 15;
const CGROUP_DEVICE_HOOK: u32 = 6;
const ALLOW_MULTI: u32 = 2;

const CHARACTER: i32 = 2;
const MKNOD: i32 = 1;
const ANY: i32 = -1;
/// null, zero, full, random, urandom, tty, ptmx and the ends of pseudo-terminals. Everyone may make a node; opening it
/// is what counts.
const ALLOWED: [(i32, i32); 8] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, ANY)];

/// Attaches the program to the container's cgroup, unless the spec gives it every device.
pub(super) fn narrow(bundle: &Path) -> io::Result<()> {
    let spec = Spec::load(bundle.join("config.json")).map_err(io::Error::other)?;
    let Some(linux) = spec.linux() else { return Ok(()) };
    let rules = linux.resources().as_ref().and_then(|resources| resources.devices().as_ref());
    if rules
        .is_some_and(|rules| rules.iter().any(|rule| rule.allow() && rule.typ() == Some(LinuxDeviceType::A)))
    {
        return Ok(());
    }
    let inside = linux.cgroups_path().clone().unwrap_or_default();
    let path: PathBuf = Path::new(CGROUPS).join(inside.strip_prefix("/").unwrap_or(&inside));
    let cgroup = open(&path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    attach(&load(&program(&ALLOWED))?, &cgroup)
}

/// One instruction of BPF: opcode, registers, offset, constant.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    constant: i32,
}

impl Instruction {
    const fn new(code: u8, registers: u8, offset: i16, constant: i32) -> Self {
        Self { code, registers, offset, constant }
    }

    /// `to = *(u32 *)(context + offset)`; register 1 is the context.
    const fn read(to: u8, offset: i16) -> Self {
        Self::new(0x61, 0x10 | to, offset, 0)
    }

    const fn unless_equal(register: u8, constant: i32, skip: i16) -> Self {
        Self::new(0x55, register, skip, constant)
    }

    /// Ends the program: 1 allows, 0 refuses.
    const fn answer(answer: i32) -> [Self; 2] {
        [Self::new(0xb7, 0, 0, answer), Self::new(0x95, 0, 0, 0)]
    }
}

/// `struct bpf_cgroup_dev_ctx`: access in the upper and type in the lower half of the first word, major, minor.
fn program(allowed: &[(i32, i32)]) -> Vec<Instruction> {
    const ACCESS: u8 = 2;
    const TYPE: u8 = 3;
    const MAJOR: u8 = 4;
    const MINOR: u8 = 5;
    let [yes, no] = [Instruction::answer(1), Instruction::answer(0)];
    let mut program = vec![
        Instruction::read(ACCESS, 0),
        Instruction::new(0xbf, ACCESS << 4 | TYPE, 0, 0),
        Instruction::new(0x57, TYPE, 0, 0xffff),
        Instruction::new(0x77, ACCESS, 0, 16),
        Instruction::read(MAJOR, 4),
        Instruction::read(MINOR, 8),
        Instruction::unless_equal(ACCESS, MKNOD, 2),
    ];
    program.extend(yes);
    program.push(Instruction::new(0x15, TYPE, 2, CHARACTER));
    program.extend(no);
    for (major, minor) in allowed {
        let any = *minor == ANY;
        program.push(Instruction::unless_equal(MAJOR, *major, if any { 2 } else { 3 }));
        program.extend((!any).then(|| Instruction::unless_equal(MINOR, *minor, 2)));
        program.extend(yes);
    }
    program.extend(no);
    program
}

#[expect(unsafe_code, reason = "bpf(2) has no safe call")]
fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    let license = c"GPL";
    let mut attributes = [0_u8; ATTRIBUTES];
    put(&mut attributes, 0, &CGROUP_DEVICE_PROGRAM.to_ne_bytes());
    put(&mut attributes, 4, &u32::try_from(program.len()).unwrap_or(u32::MAX).to_ne_bytes());
    put(&mut attributes, 8, &(program.as_ptr() as u64).to_ne_bytes());
    put(&mut attributes, 16, &(license.as_ptr() as u64).to_ne_bytes());
    // SAFETY: the kernel reads as many instructions as are told it from a slice that outlives the call, and a text that
    // ends with a zero.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, attributes.as_ptr(), ATTRIBUTES) };
    match i32::try_from(fd) {
        // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[expect(unsafe_code, reason = "bpf(2) has no safe call")]
fn attach(program: &OwnedFd, cgroup: &OwnedFd) -> io::Result<()> {
    let mut attributes = [0_u8; ATTRIBUTES];
    put(&mut attributes, 0, &cgroup.as_raw_fd().to_ne_bytes());
    put(&mut attributes, 4, &program.as_raw_fd().to_ne_bytes());
    put(&mut attributes, 8, &CGROUP_DEVICE_HOOK.to_ne_bytes());
    put(&mut attributes, 12, &ALLOW_MULTI.to_ne_bytes());
    // SAFETY: the kernel only reads the attributes, which name two open descriptors and no memory.
    match unsafe { libc::syscall(libc::SYS_bpf, PROG_ATTACH, attributes.as_ptr(), ATTRIBUTES) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn put(attributes: &mut [u8; ATTRIBUTES], at: usize, bytes: &[u8]) {
    attributes[at..at + bytes.len()].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program answers: the few instructions it uses, carried out.
    fn answer(program: &[Instruction], access: u32, kind: u32, major: u32, minor: u32) -> i64 {
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0_i64; 11];
        let mut at = 0_usize;
        loop {
            let Instruction { code, registers: named, offset, constant } = program[at];
            let (to, from) = (usize::from(named & 0xf), usize::from(named >> 4));
            let constant = i64::from(constant);
            let mut skip = 0;
            match code {
                0x61 => registers[to] = i64::from(context[usize::try_from(offset).unwrap() / 4]),
                0xbf => registers[to] = registers[from],
                0x57 => registers[to] &= constant,
                0x77 => registers[to] >>= constant,
                0x15 if registers[to] == constant => skip = offset,
                0x55 if registers[to] != constant => skip = offset,
                0x15 | 0x55 => (),
                0xb7 => registers[to] = constant,
                0x95 => return registers[0],
                other => panic!("{other:#x}"),
            }
            at += 1 + usize::try_from(skip).unwrap();
        }
    }

    #[test]
    fn only_the_nodes_every_container_has_can_be_opened() {
        let program = program(&ALLOWED);
        const BLOCK: u32 = 1;
        const CHAR: u32 = 2;
        const READ: u32 = 2;
        const WRITE: u32 = 4;
        for (access, kind, major, minor, wanted) in [
            (READ, CHAR, 1, 3, 1),
            (READ | WRITE, CHAR, 1, 5, 1),
            (WRITE, CHAR, 1, 9, 1),
            (READ, CHAR, 5, 0, 1),
            (READ, CHAR, 5, 2, 1),
            (READ, CHAR, 136, 17, 1),
            (READ | 1, CHAR, 1, 3, 1),
            (READ, CHAR, 5, 1, 0),
            (READ, CHAR, 10, 200, 0),
            (READ, CHAR, 4, 64, 0),
            (WRITE, CHAR, 1, 1, 0),
            (READ, CHAR, 1, 4, 0),
            (READ, BLOCK, 1, 3, 0),
            (READ, BLOCK, 8, 0, 0),
            (1, BLOCK, 8, 0, 1),
            (1, CHAR, 5, 1, 1),
        ] {
            assert_eq!(
                answer(&program, access, kind, major, minor),
                wanted,
                "{access} {kind} {major}:{minor}"
            );
        }
    }
}
