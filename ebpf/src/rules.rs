//! The kernel's own rules about exits and signals, as pure functions the programs compile in and the host
//! tests.
//!
//! It reads no kernel memory; the numbers come from the caller.

use crate::{Owner, TICK_NS, Target};

pub const SIGILL: u32 = 4;
pub const SIGTRAP: u32 = 5;
pub const SIGBUS: u32 = 7;
pub const SIGFPE: u32 = 8;
pub const SIGKILL: u32 = 9;
pub const SIGSEGV: u32 = 11;
pub const SIGPIPE: u32 = 13;
pub const SIGTERM: u32 = 15;
pub const SIGXFSZ: u32 = 25;

/// `si_code` of `kill`, and of a signal the kernel sends without details (`SEND_SIG_NOINFO`).
pub const SI_USER: i32 = 0;
/// `si_code` of a signal the kernel sends on its own account (`SEND_SIG_PRIV`).
pub const SI_KERNEL: i32 = 128;
/// `si_code` of `sigqueue`.
pub const SI_QUEUE: i32 = -1;
/// `si_code` of a POSIX timer.
pub const SI_TIMER: i32 = -2;
/// `si_code` of `mq_notify`.
pub const SI_MESGQ: i32 = -3;
/// `si_code` of `tkill`, `tgkill` and so of `raise` and `abort`.
pub const SI_TKILL: i32 = -6;

/// `task_struct.flags`: the task is on its way out (`PF_EXITING`).
pub const TASK_EXITING: u32 = 4;
/// `signal_struct.flags`: the process is ending and `group_exit_code` holds (`SIGNAL_GROUP_EXIT`).
pub const GROUP_EXIT: u32 = 4;

/// Who stands behind a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Origin {
    /// No signal was seen.
    Unseen = 0,
    /// The process that was running when it was sent.
    Process = 1,
    /// The kernel; whoever was running had no part in it.
    Kernel = 2,
    /// The kernel, because the init of its pid namespace is going.
    Teardown = 3,
}

impl Origin {
    /// Reads the wire.
    #[must_use]
    pub const fn of(number: u32) -> Self {
        match number {
            1 => Self::Process,
            2 => Self::Kernel,
            3 => Self::Teardown,
            _ => Self::Unseen,
        }
    }
}

/// What is known of an OOM kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum OomKnown {
    /// There was none.
    Nothing = 0,
    /// There was one; the kernel gave no way to see whose limit.
    Victim = 1,
    /// There was one, and its limit and chosen process are known.
    Limit = 2,
}

impl OomKnown {
    /// Reads the wire.
    #[must_use]
    pub const fn of(number: u32) -> Self {
        match number {
            1 => Self::Victim,
            2 => Self::Limit,
            _ => Self::Nothing,
        }
    }
}

/// Why the ring woke the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EventKind {
    /// The main process is dead; its record is in the map.
    MainDied = 1,
    /// The OOM killer took a process that is not the main one.
    OomKilledOther = 2,
    /// The agent's SIGTERM met a main process that ignores it: nothing but SIGKILL will end it.
    TermIgnored = 3,
}

impl EventKind {
    /// Reads the wire. `None`: an event of a newer build.
    #[must_use]
    pub const fn of(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::MainDied),
            2 => Some(Self::OomKilledOther),
            3 => Some(Self::TermIgnored),
            _ => None,
        }
    }
}

/// The status `wait` reports for a process whose last thread has gone: the rule of `wait_task_zombie`.
/// The last thread's own exit code is not it, nor is the leader's when the process was killed.
#[inline(always)]
#[must_use]
pub const fn wait_status(signal_flags: u32, group_exit_code: i32, leader_exit_code: i32) -> u32 {
    let code = if signal_flags & GROUP_EXIT != 0 { group_exit_code } else { leader_exit_code };
    code.cast_unsigned()
}

/// The signal in a wait status. 0: it exited by itself.
#[inline(always)]
#[must_use]
pub const fn status_signal(status: u32) -> u32 {
    status & 0x7f
}

/// Whether a wait status tells of a core dump.
#[inline(always)]
#[must_use]
pub const fn status_core(status: u32) -> bool {
    status & 0x80 != 0
}

/// The exit code in the wait status of a process that exited by itself.
#[inline(always)]
#[must_use]
pub const fn status_code(status: u32) -> i32 {
    (status >> 8 & 0xff).cast_signed()
}

/// Whether a signal can end a process and is worth remembering: not the ones that stop, continue or are
/// ignored by default, and not real-time ones, which can come by the thousand from a timer.
#[inline(always)]
#[must_use]
pub const fn can_kill(sig: u32) -> bool {
    // CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG, WINCH.
    const HARMLESS: u32 = 1 << 17 | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 21 | 1 << 22 | 1 << 23 | 1 << 28;
    sig > 0 && sig < 32 && HARMLESS >> sig & 1 == 0
}

/// What the kernel passes to say how a signal came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Info {
    /// `SEND_SIG_NOINFO`: some code acting for the running process.
    Absent,
    /// `SEND_SIG_PRIV`: the kernel itself.
    Privileged,
    /// A `kernel_siginfo` with this `si_code`.
    Code(i32),
}

impl Info {
    /// The `si_code` the receiver would see.
    #[inline(always)]
    #[must_use]
    pub const fn si_code(self) -> i32 {
        match self {
            Self::Absent => SI_USER,
            Self::Privileged => SI_KERNEL,
            Self::Code(code) => code,
        }
    }

    /// Whether the running process is the sender. It is not for timers, faults and I/O, which interrupt
    /// whoever runs; nor for SIGPIPE and SIGXFSZ, which the kernel sends to the running process without
    /// details. So does `kill` in Linux 7.3, to whomever: what a process sends to itself is then told from the
    /// kernel's by its number alone.
    #[inline(always)]
    #[must_use]
    pub const fn origin(self, target: Target, sender_tgid: u32) -> Origin {
        let by_process = match self {
            Self::Absent => sender_tgid != target.tgid || !matches!(target.sig, SIGPIPE | SIGXFSZ),
            Self::Privileged => false,
            Self::Code(code) => matches!(code, SI_USER | SI_QUEUE | SI_MESGQ | SI_TKILL),
        };
        if by_process { Origin::Process } else { Origin::Kernel }
    }
}

/// Whether a signal is the one `zap_pid_ns_processes` sends to all that an exiting init leaves behind. No
/// other code sends a privileged SIGKILL from a task that is exiting.
#[inline(always)]
#[must_use]
pub const fn is_teardown(sig: u32, info: Info, sender_flags: u32) -> bool {
    sig == SIGKILL && matches!(info, Info::Privileged) && sender_flags & TASK_EXITING != 0
}

/// Whether the signal's details name an address.
#[inline(always)]
#[must_use]
pub const fn has_address(sig: u32, si_code: i32) -> bool {
    matches!(sig, SIGILL | SIGTRAP | SIGBUS | SIGFPE | SIGSEGV) && si_code > 0 && si_code != SI_KERNEL
}

/// Whether a process is the main one of its container. A tgid alone could have been used again.
#[inline(always)]
#[must_use]
pub const fn is_main(owner: &Owner, tgid: u32, start_boottime_ns: u64) -> bool {
    owner.main_tgid != 0 && owner.main_tgid == tgid && owner.main_start_ticks == start_boottime_ns / TICK_NS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_status_follows_the_kernels_rule() {
        #[track_caller]
        fn check(flags: u32, group: i32, leader: i32, signal: u32, core: bool, code: i32) {
            let status = wait_status(flags, group, leader);
            assert_eq!((status_signal(status), status_core(status)), (signal, core));
            if signal == 0 {
                assert_eq!(status_code(status), code);
            }
        }
        check(GROUP_EXIT, 0, 0, 0, false, 0);
        check(GROUP_EXIT, 0x700, 0x600, 0, false, 7);
        check(0, 0, 0x300, 0, false, 3);
        check(GROUP_EXIT, 9, 0, 9, false, 0);
        check(GROUP_EXIT, 0x86, 0, 6, true, 0);
        check(GROUP_EXIT | 0x40, 0xff00, 9, 0, false, 255);
    }

    #[test]
    fn only_signals_that_end_a_process_by_default_are_remembered() {
        let kept: [u32; 8] = [1, 2, 6, 9, 11, 13, 15, 31];
        let dropped: [u32; 11] = [0, 17, 18, 19, 20, 21, 22, 23, 28, 32, 64];
        assert!(kept.into_iter().all(can_kill));
        assert!(!dropped.into_iter().any(can_kill));
    }

    #[test]
    fn the_running_process_is_the_sender_only_where_it_acted() {
        #[track_caller]
        fn check(what: &str, info: Info, sig: u32, sender: u32, origin: Origin) {
            assert_eq!(info.origin(Target { tgid: 7, sig }, sender), origin, "{what}");
        }
        check("kill", Info::Code(SI_USER), SIGTERM, 5, Origin::Process);
        check("kill of 7.3", Info::Absent, SIGPIPE, 5, Origin::Process);
        check("its own kill of 7.3", Info::Absent, SIGTERM, 7, Origin::Process);
        check("abort", Info::Code(SI_TKILL), 6, 7, Origin::Process);
        check("sigqueue", Info::Code(SI_QUEUE), SIGTERM, 5, Origin::Process);
        check("cgroup.kill", Info::Absent, SIGKILL, 5, Origin::Process);
        check("broken pipe", Info::Absent, SIGPIPE, 7, Origin::Kernel);
        check("file too large", Info::Absent, SIGXFSZ, 7, Origin::Kernel);
        check("its own kill with SIGPIPE", Info::Code(SI_USER), SIGPIPE, 7, Origin::Process);
        check("fault", Info::Code(1), SIGSEGV, 7, Origin::Kernel);
        check("posix timer", Info::Code(SI_TIMER), 14, 5, Origin::Kernel);
        check("oom", Info::Privileged, SIGKILL, 5, Origin::Kernel);
        check("alarm", Info::Privileged, 14, 0, Origin::Kernel);
    }

    #[test]
    fn a_teardown_is_told_from_other_kills_by_the_kernel() {
        assert!(is_teardown(SIGKILL, Info::Privileged, TASK_EXITING | 0x40));
        assert!(!is_teardown(SIGKILL, Info::Privileged, 0x40), "an oom kill, or a cpu time limit");
        assert!(!is_teardown(SIGKILL, Info::Code(SI_USER), TASK_EXITING));
    }

    #[test]
    fn an_address_is_read_only_where_there_is_one() {
        assert!(has_address(SIGSEGV, 1));
        assert!(!has_address(SIGSEGV, SI_KERNEL), "a general protection fault names none");
        assert!(!has_address(SIGSEGV, SI_USER), "kill -SEGV names none");
        assert!(!has_address(SIGTERM, 1));
    }

    #[test]
    fn the_main_process_is_known_by_its_start_too() {
        let owner = Owner { main_tgid: 7, main_start_ticks: 123, ..Owner::default() };
        assert!(is_main(&owner, 7, 1_239_999_999));
        assert!(!is_main(&owner, 7, 1_240_000_000), "the pid was used again");
        assert!(!is_main(&owner, 8, 1_230_000_000));
        assert!(!is_main(&Owner::default(), 0, 0), "no main process yet");
    }

    #[test]
    fn the_numbers_on_the_wire_mean_what_they_meant() {
        for origin in [Origin::Unseen, Origin::Process, Origin::Kernel, Origin::Teardown] {
            assert_eq!(Origin::of(origin as u32), origin);
        }
        for known in [OomKnown::Nothing, OomKnown::Victim, OomKnown::Limit] {
            assert_eq!(OomKnown::of(known as u32), known);
        }
        for kind in [EventKind::MainDied, EventKind::OomKilledOther, EventKind::TermIgnored] {
            assert_eq!(EventKind::of(kind as u32), Some(kind));
        }
        assert_eq!(EventKind::of(99), None);
    }
}
