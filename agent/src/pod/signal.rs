//! Names of signals, as manifests and images write them.

/// Signals a manifest may name, beside the real-time ones; the same numbers on x86 and ARM.
const SIGNALS: [(&str, i32); 34] = [
    ("SIGABRT", 6),
    ("SIGALRM", 14),
    ("SIGBUS", 7),
    ("SIGCHLD", 17),
    ("SIGCLD", 17),
    ("SIGCONT", 18),
    ("SIGFPE", 8),
    ("SIGHUP", 1),
    ("SIGILL", 4),
    ("SIGINT", 2),
    ("SIGIO", 29),
    ("SIGIOT", 6),
    ("SIGKILL", 9),
    ("SIGPIPE", 13),
    ("SIGPOLL", 29),
    ("SIGPROF", 27),
    ("SIGPWR", 30),
    ("SIGQUIT", 3),
    ("SIGSEGV", 11),
    ("SIGSTKFLT", 16),
    ("SIGSTOP", 19),
    ("SIGSYS", 31),
    ("SIGTERM", 15),
    ("SIGTRAP", 5),
    ("SIGTSTP", 20),
    ("SIGTTIN", 21),
    ("SIGTTOU", 22),
    ("SIGURG", 23),
    ("SIGUSR1", 10),
    ("SIGUSR2", 12),
    ("SIGVTALRM", 26),
    ("SIGWINCH", 28),
    ("SIGXCPU", 24),
    ("SIGXFSZ", 25),
];
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// `SIGTERM`, `SIGRTMIN+3`, `SIGRTMAX-2`.
pub(crate) fn signal(name: &str) -> Option<i32> {
    let offset = |text: &str, sign: char, most: i32| match text {
        "" => Some(0),
        text => text.strip_prefix(sign)?.parse().ok().filter(|offset| (1..=most).contains(offset)),
    };
    if let Some(rest) = name.strip_prefix("SIGRTMIN") {
        return Some(RTMIN + offset(rest, '+', 15)?);
    }
    if let Some(rest) = name.strip_prefix("SIGRTMAX") {
        return Some(RTMAX - offset(rest, '-', 14)?);
    }
    SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// What an image says as STOPSIGNAL: a number, or a name with or without its `SIG`.
pub(crate) fn of_image(text: &str) -> Option<i32> {
    let number = text.parse().ok().filter(|number| (1..=RTMAX).contains(number));
    number.or_else(|| signal(text)).or_else(|| signal(&format!("SIG{text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_names_its_signal_in_three_ways() {
        let rows = [
            ("SIGQUIT", Some(3)),
            ("QUIT", Some(3)),
            ("3", Some(3)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMIN+3", Some(37)),
            ("0", None),
            ("65", None),
            ("quit", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(of_image(text), expected, "{text:?}");
        }
    }
}
