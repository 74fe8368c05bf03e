//! A verdict in words: Kubernetes' reason, the metric's label, one line for a person. It decides nothing.

use std::borrow::Cow;

use crate::pod::verdict::{Cause, KernelReason, LimitOwner, Sender, Verdict, Victim, Why};

/// `status.containerStatuses[].state.terminated.reason`, in Kubernetes' own words where it has one.
pub(crate) fn reason(verdict: &Verdict) -> &'static str {
    match &verdict.cause {
        Cause::Completed => "Completed",
        Cause::Error | Cause::Signalled(_) => "Error",
        Cause::Oom { .. } => "OOMKilled",
        Cause::StartError { .. } => "StartError",
        Cause::NodeReboot => "NodeReboot",
        Cause::Unknown { .. } => "ContainerStatusUnknown",
    }
}

/// The `cause` label of the termination metrics: a closed set.
pub(crate) fn cause(verdict: &Verdict) -> &'static str {
    match &verdict.cause {
        Cause::Completed => "completed",
        Cause::Error => "error",
        Cause::Oom { .. } => "oom",
        Cause::Signalled(Sender::Agent(_)) => "agent",
        Cause::Signalled(Sender::Itself | Sender::Own { .. }) => "own",
        Cause::Signalled(Sender::Container { .. }) => "container",
        Cause::Signalled(Sender::Host { .. }) => "host",
        Cause::Signalled(Sender::Kernel(_)) => "kernel",
        Cause::StartError { .. } => "start_error",
        Cause::NodeReboot => "node_reboot",
        Cause::Signalled(Sender::Unknown) | Cause::Unknown { .. } => "unknown",
    }
}

/// One line that a person understands without a manual.
pub(crate) fn message(verdict: &Verdict) -> String {
    match &verdict.cause {
        Cause::Completed | Cause::Error => exited(verdict),
        Cause::Oom { limit, victim } => oom(verdict, limit, *victim),
        Cause::Signalled(sender) => {
            let name = verdict.signal.map_or(Cow::Borrowed("signal"), signal_name);
            let core = if verdict.core { ", core dumped" } else { "" };
            format!("{name}{}{core}", sent_by(sender))
        }
        Cause::StartError { message } => message.clone(),
        Cause::NodeReboot => "the node went down while it ran".to_owned(),
        Cause::Unknown { why } => why.clone(),
    }
}

/// The usual name of a signal.
pub(super) fn signal_name(signal: i32) -> Cow<'static, str> {
    const NAMES: [&str; 31] = [
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    /// The first that programs may use: the C library keeps two for itself.
    const RTMIN: i32 = 34;
    let named = usize::try_from(signal)
        .ok()
        .and_then(|number| number.checked_sub(1))
        .and_then(|index| NAMES.get(index));
    match named {
        Some(name) => Cow::Borrowed(name),
        None if signal == RTMIN => Cow::Borrowed("SIGRTMIN"),
        None if (RTMIN..=64).contains(&signal) => Cow::Owned(format!("SIGRTMIN+{}", signal - RTMIN)),
        None => Cow::Owned(format!("signal {signal}")),
    }
}

fn exited(verdict: &Verdict) -> String {
    let code =
        verdict.code.map_or_else(|| "exit code not known".to_owned(), |code| format!("exit code {code}"));
    match verdict.asked {
        Some(why) => format!("{code}, after carob asked it to stop: {}", self::why(why)),
        None => code,
    }
}

fn oom(verdict: &Verdict, limit: &LimitOwner, victim: Victim) -> String {
    let limit = self::limit(limit);
    let victim = match victim {
        Victim::Main => ", main process",
        Victim::Child => ", child process, the main one with it",
        Victim::Unknown => "",
    };
    let peak = verdict.peak_memory.map(|bytes| format!(", peak {}", size(bytes))).unwrap_or_default();
    format!("OOM: {limit}{victim}{peak}")
}

/// Whose limit, and how large it is.
pub(super) fn limit(limit: &LimitOwner) -> String {
    match limit {
        LimitOwner::Container { bytes } => format!("container limit {}", size(*bytes)),
        LimitOwner::Pod { bytes } => format!("pod limit {}", size(*bytes)),
        LimitOwner::Ancestor { path, bytes } => format!("limit of {path} {}", size(*bytes)),
        LimitOwner::Nested { bytes } => format!("limit {} of a cgroup inside the container", size(*bytes)),
        LimitOwner::Node => "the node ran out of memory".to_owned(),
        LimitOwner::Unknown => "whose limit is not known".to_owned(),
    }
}

pub(super) fn sent_by(sender: &Sender) -> String {
    match sender {
        Sender::Agent(why) => format!(" from carob: {}", self::why(*why)),
        Sender::Itself => " raised by itself".to_owned(),
        Sender::Own { pid, comm } => format!(" from process {} ({comm}) of the same container", pid.0),
        Sender::Container { pod, container, pid, comm } => {
            format!(" from process {} ({comm}) of pod {pod}, container {container}", pid.0)
        }
        Sender::Host { pid, comm, uid } => format!(" from host process {} ({comm}, uid {uid})", pid.0),
        Sender::Kernel(reason) => kernel_words(*reason),
        Sender::Unknown => ", sender not known".to_owned(),
    }
}

fn kernel_words(reason: KernelReason) -> String {
    match reason {
        KernelReason::Fault { address: Some(address) } => format!(": fault at {address:#x}"),
        KernelReason::Fault { address: None } => ": fault".to_owned(),
        KernelReason::Pipe => ": write to a pipe that nobody reads".to_owned(),
        KernelReason::Timer => ": a timer of its own ran out".to_owned(),
        KernelReason::CpuTime => ": its CPU time is used up (RLIMIT_CPU)".to_owned(),
        KernelReason::Seccomp => ": system call forbidden by seccomp".to_owned(),
        KernelReason::Teardown => ": the init of its pid namespace exited".to_owned(),
        KernelReason::Other { si_code } => format!(" from the kernel (si_code {si_code})"),
    }
}

pub(super) fn why(why: Why) -> &'static str {
    match why {
        Why::Delete => "pod deleted",
        Why::GraceExpired => "grace period expired",
        Why::Liveness => "liveness probe failed",
        Why::Startup => "startup probe failed",
        Why::Eviction => "pod evicted",
        Why::Deadline => "activeDeadlineSeconds exceeded",
        Why::Shutdown => "node shutting down",
        Why::PostStart => "postStart hook failed",
        Why::Unrecorded => "the agent ended before it was recorded",
        Why::PodOver => "the main containers have ended",
        Why::IgnoresTerm => "it ignores SIGTERM",
        Why::RestartAll => "all containers of the pod are restarted",
        Why::Changed => "container definition changed, will be restarted",
    }
}

/// Bytes as Kubernetes writes them: the largest unit that fits, cut (not rounded up) to a tenth.
pub(super) fn size(bytes: u64) -> String {
    let units = [(1 << 40, "Ti"), (1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
    let Some((unit, name)) = units.into_iter().find(|(unit, _)| bytes >= *unit) else {
        return bytes.to_string();
    };
    let (whole, tenth) = (bytes / unit, u128::from(bytes % unit) * 10 / u128::from(unit));
    if tenth == 0 { format!("{whole}{name}") } else { format!("{whole}.{tenth}{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_never_said_larger_than_it_is() {
        let rows = [
            (0, "0"),
            (1023, "1023"),
            (1024, "1Ki"),
            (64 << 20, "64Mi"),
            ((64 << 20) - 1, "63.9Mi"),
            (1536 << 20, "1.5Gi"),
            (u64::MAX, "16777215.9Ti"),
        ];
        for (bytes, text) in rows {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn every_signal_has_a_name() {
        let rows = [
            (1, "SIGHUP"),
            (9, "SIGKILL"),
            (15, "SIGTERM"),
            (31, "SIGSYS"),
            (34, "SIGRTMIN"),
            (37, "SIGRTMIN+3"),
            (64, "SIGRTMIN+30"),
            (0, "signal 0"),
            (32, "signal 32"),
            (i32::MIN, "signal -2147483648"),
        ];
        for (signal, name) in rows {
            assert_eq!(signal_name(signal), name);
        }
    }
}
