//! carob's own annotations: what each may say, and what they say of a container. All of them are here.
//!
//! Those of containers may have a container's name after a dot (`carob.dev/oom-group.web`); that goes before what is said
//! of the pod.

use std::{collections::BTreeMap, time::Duration};

use crate::pod::{
    annotation,
    restart::{BackOff, Failing, OnFailing},
};

pub(super) type Annotations = BTreeMap<String, String>;

/// What an annotation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Pod,
    Container,
    Claim,
}

/// One annotation that a user may write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Annotation {
    pub(super) name: &'static str,
    scope: Scope,
    /// Completes "is not accepted; … is needed".
    pub(super) needed: &'static str,
    pub(super) is_good: fn(&str) -> bool,
}

const FLAG: &str = "\"true\" or \"false\"";

const ALL: [Annotation; 6] = [
    Annotation { name: annotation::OOM_GROUP, scope: Scope::Container, needed: FLAG, is_good: is_flag },
    Annotation { name: annotation::MEMORY_QOS, scope: Scope::Pod, needed: FLAG, is_good: is_flag },
    Annotation { name: annotation::KILL_DEAF, scope: Scope::Container, needed: FLAG, is_good: is_flag },
    Annotation {
        name: annotation::RESTART,
        scope: Scope::Container,
        needed: "a list of causes (oom, crash, probe, kill) with Always or Never, as in \"oom=Never,kill=Always\",",
        is_good: |text| pairs(text, again).is_some(),
    },
    Annotation {
        name: annotation::BACKOFF,
        scope: Scope::Container,
        needed: "a list of causes (oom, crash, probe, kill) with a delay or a first and a longest one, as in \"oom=1m,crash=5s..2m\",",
        is_good: |text| pairs(text, backoff).is_some(),
    },
    Annotation {
        name: annotation::RECLAIM,
        scope: Scope::Claim,
        needed: "\"Retain\" or \"Delete\"",
        is_good: |text| matches!(text, "Retain" | "Delete"),
    },
];

/// The names a user may write, and carob's own mark.
pub(super) fn names() -> Vec<&'static str> {
    ALL.iter().map(|one| one.name).chain([annotation::MANIFEST]).collect()
}

/// The annotation a key is of, and the container it names.
pub(super) fn of_key(key: &str) -> Option<(Annotation, Option<&str>)> {
    let found = |one: &Annotation| {
        let rest = key.strip_prefix(one.name)?;
        match (one.scope, rest.strip_prefix('.')) {
            (_, None) if rest.is_empty() => Some((*one, None)),
            (Scope::Container, Some(container)) => Some((*one, Some(container))),
            _ => None,
        }
    };
    ALL.iter().find_map(found)
}

/// What is said of the pod.
pub(super) fn is_set(annotations: &Annotations, name: &str) -> bool {
    annotations.get(name).is_some_and(|text| text == "true")
}

/// What is said of a container.
pub(super) fn of_container<'a>(annotations: &'a Annotations, name: &str, container: &str) -> Option<&'a str> {
    annotations.get(&format!("{name}.{container}")).or_else(|| annotations.get(name)).map(String::as_str)
}

/// What follows from failures of a container, by their causes.
pub(super) fn on_failing(annotations: &Annotations, container: &str) -> BTreeMap<Failing, OnFailing> {
    let mut all: BTreeMap<Failing, OnFailing> = BTreeMap::new();
    let said = |name| of_container(annotations, name, container);
    for (cause, again) in said(annotation::RESTART).and_then(|text| pairs(text, again)).into_iter().flatten()
    {
        all.entry(cause).or_default().again = Some(again);
    }
    for (cause, backoff) in
        said(annotation::BACKOFF).and_then(|text| pairs(text, backoff)).into_iter().flatten()
    {
        all.entry(cause).or_default().backoff = Some(backoff);
    }
    all
}

fn is_flag(text: &str) -> bool {
    matches!(text, "true" | "false")
}

/// `cause=value,…`, each cause once.
fn pairs<T>(text: &str, value: fn(&str) -> Option<T>) -> Option<Vec<(Failing, T)>> {
    let pair = |pair: &str| {
        let (cause, text) = pair.split_once('=')?;
        let cause = Failing::ALL.into_iter().find(|one| one.name() == cause.trim())?;
        Some((cause, value(text.trim())?))
    };
    let pairs: Vec<(Failing, T)> = text.split(',').map(pair).collect::<Option<_>>()?;
    let once = |(at, (cause, _)): (usize, &(Failing, T))| pairs[..at].iter().all(|(other, _)| other != cause);
    pairs.iter().enumerate().all(once).then_some(pairs)
}

fn again(text: &str) -> Option<bool> {
    match text {
        "Always" => Some(true),
        "Never" => Some(false),
        _ => None,
    }
}

/// `30s`, or `5s..2m`.
fn backoff(text: &str) -> Option<BackOff> {
    let (first, most) = text.split_once("..").unwrap_or((text, text));
    let (first, most) = (duration(first)?, duration(most)?);
    (first <= most).then_some(BackOff { first, most })
}

/// `500ms`, `10s`, `5m`, `1h`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (count, unit) = text.split_at(digits);
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(count.parse::<u64>().ok()?.checked_mul(millis)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_one_or_from_one_to_another() {
        let rows = [
            ("10s", Some((10_000, 10_000))),
            ("0s", Some((0, 0))),
            ("500ms..2m", Some((500, 120_000))),
            ("1h", Some((3_600_000, 3_600_000))),
            ("2m..1m", None),
            ("10", None),
            ("s", None),
            ("-1s", None),
            ("1s..", None),
            ("99999999999999999999s", None),
        ];
        for (text, expected) in rows {
            let found = backoff(text).map(|delay| (delay.first.as_millis(), delay.most.as_millis()));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_is_said_of_a_container_goes_before_what_is_said_of_the_pod() {
        let annotations = Annotations::from([
            ("carob.dev/restart".to_owned(), "oom=Never, kill=Always".to_owned()),
            ("carob.dev/restart.web".to_owned(), "crash=Never".to_owned()),
            ("carob.dev/backoff".to_owned(), "kill=0s".to_owned()),
        ]);
        let said = |container| -> Vec<_> {
            let all = on_failing(&annotations, container);
            all.iter().map(|(cause, one)| (cause.name(), one.again, one.backoff.is_some())).collect()
        };
        assert_eq!(said("web"), [("crash", Some(false), false), ("kill", None, true)]);
        assert_eq!(said("db"), [("oom", Some(false), false), ("kill", Some(true), true)]);
    }
}
