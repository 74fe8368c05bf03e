//! When a container that has exited is started again, as its manifest says it. Says nothing of when (that is `plan`'s).

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
}

/// One entry of `restartPolicyRules`; its action is always `Restart`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ExitRule {
    In(Vec<i32>),
    NotIn(Vec<i32>),
}

impl Restart {
    /// A container without rules of its own.
    #[cfg(test)]
    pub(crate) fn by(policy: RestartPolicy) -> Self {
        Self { rules: Vec::new(), policy }
    }

    /// Whether this exit asks for another attempt. An unknown code is no success, and no rule fits it.
    pub(crate) fn wants_another(&self, code: Option<i32>) -> bool {
        let fits = |rule: &ExitRule| {
            code.is_some_and(|code| match rule {
                ExitRule::In(codes) => codes.contains(&code),
                ExitRule::NotIn(codes) => !codes.contains(&code),
            })
        };
        if self.rules.iter().any(fits) {
            return true;
        }
        match self.policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => code != Some(0),
            RestartPolicy::Never => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_fits_goes_before_the_policy() {
        use RestartPolicy::{Always, Never, OnFailure};
        let rules = |rule: &str| match rule {
            "in 42" => vec![ExitRule::In(vec![42])],
            "not in 0" => vec![ExitRule::NotIn(vec![0])],
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
            let restart = Restart { rules: rules(rule), policy };
            assert_eq!(restart.wants_another(code), expected, "{rule:?} {policy:?} {code:?}");
        }
    }
}
