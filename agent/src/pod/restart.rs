//! When a container that has exited is started again, as its manifest says it. Says nothing of when (that is `plan`'s).

use std::{collections::BTreeMap, time::Duration};

/// `restartPolicy`, of a pod or of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    #[default]
    Always,
    OnFailure,
    Never,
}

/// What holds for one container: the first rule that fits, else the policy (KEP-5307). The policy is the container's own
/// or the pod's; for an init container `Always` of the pod means `OnFailure`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Restart {
    pub(crate) rules: Vec<ExitRule>,
    pub(crate) policy: RestartPolicy,
    /// Goes before rules and policy.
    pub(crate) on_failing: BTreeMap<Failing, OnFailing>,
}

/// How an attempt has failed, as far as its restart is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failing {
    /// The OOM killer, whosever limit it was.
    Oom,
    /// It exited with another code than 0, died of a signal of its own or the kernel's, or could not be started.
    Crash,
    /// A liveness or startup probe or its postStart hook failed.
    Probe,
    /// A process of another container or of the box has killed it.
    Kill,
}

impl Failing {
    pub(crate) const ALL: [Self; 4] = [Self::Oom, Self::Crash, Self::Probe, Self::Kill];

    /// As annotations spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Oom => "oom",
            Self::Crash => "crash",
            Self::Probe => "probe",
            Self::Kill => "kill",
        }
    }
}

/// What follows from failures of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OnFailing {
    /// Whether there is another attempt. `None`: as rules and policy say.
    pub(crate) again: Option<bool>,
    /// How long that waits. `None`: as the kubelet has it.
    pub(crate) backoff: Option<BackOff>,
}

/// The delay after the first failure; it doubles with each in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BackOff {
    pub(crate) first: Duration,
    pub(crate) most: Duration,
}

/// One entry of `restartPolicyRules`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExitRule {
    pub(crate) codes: Codes,
    pub(crate) action: Action,
}

/// The exit codes that a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Codes {
    In(Vec<i32>),
    NotIn(Vec<i32>),
}

/// What follows from an exit that a rule fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The container runs again.
    Restart,
    /// All containers of the pod do, from the first init container on (KEP-5532).
    RestartAllContainers,
}

impl Restart {
    /// A container without rules of its own.
    #[cfg(test)]
    pub(crate) fn by(policy: RestartPolicy) -> Self {
        Self { rules: Vec::new(), policy, on_failing: BTreeMap::new() }
    }

    /// Whether this exit asks for another attempt. An unknown code is no success, and no rule fits it.
    pub(crate) fn wants_another(&self, code: Option<i32>) -> bool {
        if self.action(code).is_some() {
            return true;
        }
        match self.policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => code != Some(0),
            RestartPolicy::Never => false,
        }
    }

    /// What the first rule that fits says of this exit.
    pub(crate) fn action(&self, code: Option<i32>) -> Option<Action> {
        let code = code?;
        let fits = |rule: &&ExitRule| match &rule.codes {
            Codes::In(codes) => codes.contains(&code),
            Codes::NotIn(codes) => !codes.contains(&code),
        };
        self.rules.iter().find(fits).map(|rule| rule.action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_fits_goes_before_the_policy() {
        use RestartPolicy::{Always, Never, OnFailure};
        let rules = |rule: &str| match rule {
            "in 42" => vec![ExitRule { codes: Codes::In(vec![42]), action: Action::Restart }],
            "not in 0" => vec![ExitRule { codes: Codes::NotIn(vec![0]), action: Action::Restart }],
            _ => Vec::new(),
        };
        let rows = [
            ("", Never, Some(42), false),
            ("in 42", Never, Some(42), true),
            ("in 42", Never, Some(1), false),
            ("in 42", Never, None, false),
            ("in 42", OnFailure, None, true),
            ("in 42", OnFailure, Some(1), true),
            ("not in 0", Never, Some(1), true),
            ("not in 0", Never, Some(0), false),
            ("not in 0", Always, Some(0), true),
        ];
        for (rule, policy, code, expected) in rows {
            let restart = Restart { rules: rules(rule), ..Restart::by(policy) };
            assert_eq!(restart.wants_another(code), expected, "{rule:?} {policy:?} {code:?}");
        }
    }
}
