//! The default system call filter of a container, as the runtime wants it: what is named here is allowed, nothing else.
//!
//! The same in effect as the default of Docker and containerd for the same capabilities: what needs a capability is
//! allowed with that capability, because the kernel checks it then, and refused without it, because then only faults of the
//! kernel would be left to use. What is refused by name gets EPERM, as a program expects it of something forbidden; what is
//! unknown gets ENOSYS, so that a C library newer than this list falls back to the older call.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// Allowed to every container.
const ALLOWED: &str = "
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 clock_adjtime
    clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
    clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1
    epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit
    exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2
    fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64
    fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv
    futex_wake futimesat getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
    getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32
    getresuid getresuid32 getrlimit get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid
    gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
    io_cancel ioctl io_destroy io_getevents io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit
    ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat
    listen listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise
    map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap
    mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
    mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
    name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2
    pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease
    process_vm_readv process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead readlink
    readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename
    renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
    rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr
    sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp
    select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid
    setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid
    setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid
    setsockopt set_thread_area set_tid_address setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown
    sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64
    statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink
    unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev
";

/// Allowed where the processor has them.
#[cfg(target_arch = "x86_64")]
const OF_THE_PROCESSOR: &str = "arch_prctl modify_ldt";
#[cfg(not(target_arch = "x86_64"))]
const OF_THE_PROCESSOR: &str =
    "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2";

/// A process's own word size and the older ones the kernel may run beside it.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURES: [&str; 3] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
#[cfg(not(target_arch = "x86_64"))]
const ARCHITECTURES: [&str; 2] = ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"];

/// Allowed with the capability (any one of them, where a call stands twice).
const WITH_CAPABILITY: [(&str, &str); 14] = [
    ("CAP_BPF", "bpf"),
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount \
         open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module finit_module init_module"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
    ("CAP_SYS_RAWIO", "iopl ioperm"),
    ("CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYSLOG", "syslog"),
    ("CAP_PERFMON", "perf_event_open"),
];

/// Refused to all: old doors of the kernel, and those that lead around the filter.
const REFUSED: &str = "
    _sysctl add_key afs_syscall bdflush create_module get_kernel_syms getpmsg io_uring_enter io_uring_register
    io_uring_setup kexec_file_load kexec_load keyctl migrate_pages move_pages nfsservctl pivot_root putpmsg query_module
    request_key security swapoff swapon sysfs tuxcall uselib userfaultfd ustat vserver
";

/// `CLONE_NEW*`: namespaces are made with CAP_SYS_ADMIN only, a user namespace too, which the kernel would not mind.
const CLONE_NEW: u64 = 0x7e02_0000;
/// Which personalities do not weaken a process: none, UNAME26, PER_LINUX32, both, and the question which it is.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
const AF_VSOCK: u64 = 40;
const EPERM: i32 = libc::EPERM;
const ENOSYS: i32 = libc::ENOSYS;

/// The filter of a container with these capabilities.
pub(super) fn runtime_default(capabilities: &BTreeSet<&str>) -> Value {
    let is_given = |capability: &&str| capabilities.contains(capability);
    let gated =
        || WITH_CAPABILITY.iter().flat_map(|(cap, calls)| calls.split_whitespace().map(move |c| (*cap, c)));
    let given: BTreeSet<&str> = gated().filter(|(cap, _)| is_given(cap)).map(|(_, call)| call).collect();
    let withheld: BTreeSet<&str> =
        gated().map(|(_, call)| call).filter(|call| !given.contains(call)).collect();
    let plain = |call: &&&str| !matches!(**call, "clone" | "clone3");
    let always = ALLOWED.split_whitespace().chain(OF_THE_PROCESSOR.split_whitespace());
    let allowed: Vec<&str> = always.chain(given.iter().copied()).collect();
    let refused: Vec<&str> =
        REFUSED.split_whitespace().chain(withheld.iter().filter(plain).copied()).collect();
    let mut rules = vec![
        json!({"names": allowed, "action": "SCMP_ACT_ALLOW"}),
        json!({"names": refused, "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM}),
        socket("SCMP_CMP_NE", json!({"action": "SCMP_ACT_ALLOW"})),
        socket("SCMP_CMP_EQ", json!({"action": "SCMP_ACT_ERRNO", "errnoRet": EPERM})),
    ];
    rules.extend(PERSONALITIES.map(|value| {
        json!({
            "names": ["personality"], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}],
        })
    }));
    if !is_given(&"CAP_SYS_ADMIN") {
        let namespaces = json!({"index": 0, "value": CLONE_NEW, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"});
        rules.push(json!({"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [namespaces]}));
        // Its flags lie in memory, where a filter cannot look: the C library goes back to clone.
        rules.push(json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS}));
    }
    for_this_runtime(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": ENOSYS,
        "architectures": ARCHITECTURES,
        "syscalls": rules,
    }))
}

/// A rule for sockets to the box's hypervisor, or for all others.
fn socket(compared: &str, mut rule: Value) -> Value {
    rule["names"] = json!(["socket"]);
    rule["args"] = json!([{"index": 0, "value": AF_VSOCK, "op": compared}]);
    rule
}

/// libcontainer 0.7.0 takes the mask of SCMP_CMP_MASKED_EQ from `valueTwo` and what it is compared with from `value`; by
/// runtime-spec and in every other runtime it is the other way round (`seccomp/mod.rs`, `translate_op`).
pub(super) fn for_this_runtime(mut profile: Value) -> Value {
    let rules = profile["syscalls"].as_array_mut().into_iter().flatten();
    let arguments = rules.flat_map(|rule| rule["args"].as_array_mut().into_iter().flatten());
    for argument in arguments.filter(|argument| argument["op"] == "SCMP_CMP_MASKED_EQ") {
        let (mask, wanted) = (argument["value"].take(), argument["valueTwo"].take());
        argument["value"] = if wanted.is_null() { json!(0) } else { wanted };
        argument["valueTwo"] = mask;
    }
    profile
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::security::{ALL_CAPABILITIES, capabilities};

    /// What becomes of a call that is named without conditions: `None` if it is not named at all.
    fn fate(profile: &Value, call: &str) -> Option<(String, Option<i64>)> {
        let rules = profile["syscalls"].as_array().unwrap();
        let names = |rule: &&Value| rule["names"].as_array().unwrap().iter().any(|name| name == call);
        let found: Vec<&Value> = rules.iter().filter(|rule| rule["args"].is_null()).filter(names).collect();
        assert!(found.len() <= 1, "{call} is named twice");
        found.first().map(|rule| (rule["action"].as_str().unwrap().to_owned(), rule["errnoRet"].as_i64()))
    }

    fn allowed(profile: &Value, call: &str) -> bool {
        fate(profile, call).is_some_and(|(action, _)| action == "SCMP_ACT_ALLOW")
    }

    #[test]
    fn a_call_that_needs_a_capability_is_allowed_with_it() {
        let default = runtime_default(&capabilities(&[], &[]));
        let none = runtime_default(&BTreeSet::new());
        let all = runtime_default(&ALL_CAPABILITIES.into());
        for (call, by_default, without, with) in [
            ("read", true, true, true),
            ("ptrace", true, true, true),
            ("chroot", true, false, true),
            ("mount", false, false, true),
            ("unshare", false, false, true),
            ("bpf", false, false, true),
            ("init_module", false, false, true),
            ("keyctl", false, false, false),
            ("io_uring_setup", false, false, false),
            ("kexec_load", false, false, false),
            ("userfaultfd", false, false, false),
        ] {
            let found = [&default, &none, &all].map(|profile| allowed(profile, call));
            assert_eq!(found, [by_default, without, with], "{call}");
        }
        assert!(allowed(&all, "clone") && allowed(&all, "clone3"));
        assert_eq!(fate(&default, "clone3"), Some(("SCMP_ACT_ERRNO".to_owned(), Some(38))));
        assert_eq!(fate(&default, "mount"), Some(("SCMP_ACT_ERRNO".to_owned(), Some(1))));
        assert_eq!(fate(&default, "a_call_of_the_future"), None);
        assert_eq!(default["defaultErrnoRet"], 38);
    }

    #[test]
    fn no_call_is_named_twice() {
        for profile in [runtime_default(&capabilities(&[], &[])), runtime_default(&ALL_CAPABILITIES.into())] {
            for rule in profile["syscalls"].as_array().unwrap() {
                for name in rule["names"].as_array().unwrap() {
                    fate(&profile, name.as_str().unwrap());
                }
            }
        }
    }

    #[test]
    fn a_masked_comparison_is_turned_round_for_the_runtime() {
        let profile = json!({"syscalls": [
            {"names": ["clone"], "args": [{"index": 0, "value": 5, "valueTwo": 4, "op": "SCMP_CMP_MASKED_EQ"}]},
            {"names": ["clone"], "args": [{"index": 0, "value": 6, "op": "SCMP_CMP_MASKED_EQ"}]},
            {"names": ["socket"], "args": [{"index": 0, "value": 7, "op": "SCMP_CMP_NE"}]},
            {"names": ["read"]},
        ]});
        let turned = for_this_runtime(profile);
        let argument = |rule: usize| &turned["syscalls"][rule]["args"][0];
        assert_eq!((&argument(0)["value"], &argument(0)["valueTwo"]), (&json!(4), &json!(5)));
        assert_eq!((&argument(1)["value"], &argument(1)["valueTwo"]), (&json!(0), &json!(6)));
        assert_eq!((&argument(2)["value"], &argument(2)["valueTwo"]), (&json!(7), &Value::Null));
    }
}
