//! The guest of most cases as QEMU is told of it: an x86-64 machine with three disks, whose state can be saved.

use std::{ffi::OsString, path::Path};

use super::{kernel::Kernel, qemu::word};

pub(crate) const PROGRAM: &str = "qemu-system-x86_64";
/// What makes the machine; a saved state fits only the same words.
pub(crate) const MACHINE: &[&str] = &[
    "-accel",
    "tcg,thread=multi,tb-size=256",
    // Five-level page tables and SMAP/SMEP cost much when emulated and are not what is tested.
    "-cpu",
    "max,la57=off,smap=off,smep=off",
    "-smp",
    "2",
    "-m",
    "1536",
    "-M",
    "q35",
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
    "-no-reboot",
    "-device",
    "virtio-serial-pci",
    "-device",
    "virtserialport,chardev=control,name=carob",
    "-device",
    "virtio-blk-pci,drive=root",
    "-device",
    "virtio-blk-pci,drive=modules",
    "-device",
    "virtio-blk-pci,drive=payload",
    "-netdev",
    // No IPv6: QEMU would announce itself as a router.
    "user,id=net,restrict=on,ipv6=off",
    "-device",
    "virtio-net-pci,netdev=net,romfile=",
    "-device",
    "virtio-rng-pci",
    "-serial",
    "chardev:console",
    "-mon",
    "chardev=qmp,mode=control",
];
/// panic=-1 with -no-reboot: a guest kernel that panics (or oopses) ends the machine, so that no result comes.
pub(crate) const KERNEL_WORDS: &str = "console=ttyS0 quiet panic=-1 oops=panic mitigations=off nokaslr \
    tsc=reliable no_timer_check audit=0 apparmor=0 selinux=0 cryptomgr.notests random.trust_cpu=on \
    8250.nr_uarts=1 net.ifnames=0 cgroup_no_v1=all systemd.show_status=false";

/// Beside them, for a guest that boots cold while it is tested: on a busy machine the kernel measures the frequency of the
/// processor's own clock wrong by any factor, and every limit of the guest with it. This one says how fast it runs. It is
/// the slower one to read, so a state that is saved goes without.
pub(crate) const TRUE_CLOCK: &str = "clocksource=hpet";

/// Where the guest's first disk comes from.
pub(crate) enum Disk<'a> {
    /// Writes are kept, also those of a machine that is killed: it has handed them to this one's page cache. What its
    /// own page cache held is lost, as in a power cut.
    Kept(&'a Path),
    /// Writes go to a scratch file that ends with the machine.
    Forgotten(&'a Path),
}

/// The machine, its disks, and what it boots.
pub(crate) fn words(kernel: &Kernel, disk: &Disk<'_>, payload: &Path, more: &str) -> Vec<OsString> {
    let mut words: Vec<OsString> = MACHINE.iter().map(OsString::from).collect();
    words.extend(disks(kernel, disk, payload).into_iter().map(OsString::from));
    words.extend(["-kernel".into(), kernel.image().into(), "-initrd".into(), kernel.initrd().into()]);
    words.extend(["-append".to_owned(), format!("{KERNEL_WORDS} {more}")].map(OsString::from));
    words
}

fn disks(kernel: &Kernel, disk: &Disk<'_>, payload: &Path) -> Vec<String> {
    let drive = |id: &str, file: &Path, options: &str| {
        ["-drive".to_owned(), format!("if=none,id={id},format=raw,file={},{options}", word(file))]
    };
    let root = match disk {
        Disk::Kept(file) => drive("root", file, "cache=unsafe"),
        Disk::Forgotten(file) => drive("root", file, "cache=unsafe,snapshot=on"),
    };
    let modules = drive("modules", &kernel.modules(), "readonly=on");
    let payload = drive("payload", payload, "readonly=on,cache=unsafe");
    [root, modules, payload].concat()
}
