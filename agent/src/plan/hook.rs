//! Hooks: postStart beside a start, preStop before SIGTERM. When they are due, and what waits for them.
//!
//! ```text
//!   Running ─ postStart ─ done ──► started
//!      │          └────── failed ► asked to end
//!      └─ asked to end ─ preStop ─ done, failed, or the grace period is over ► SIGTERM
//! ```

use super::{MIN_GRACE, Plan, Seen, Step};
use crate::pod::{Container, Spec, Stamp, probe::HookKind, verdict::Why};

/// How far a hook of the current attempt is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Progress {
    #[default]
    Due,
    Running,
    Done,
    Failed {
        at: Stamp,
    },
}

/// Both hooks of the current attempt. What the manifest has no hook for stays due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hooks {
    pub(crate) post_start: Progress,
    pub(crate) pre_stop: Progress,
}

impl Hooks {
    pub(crate) fn at(&mut self, hook: HookKind) -> &mut Progress {
        match hook {
            HookKind::PostStart => &mut self.post_start,
            HookKind::PreStop => &mut self.pre_stop,
        }
    }

    /// What another agent left running: it has run the first hook, or cannot be asked.
    pub(crate) fn adopted() -> Self {
        Self { post_start: Progress::Done, pre_stop: Progress::Due }
    }

    /// Nobody waits for postStart any more.
    pub(super) fn let_on(&self, container: &Container) -> bool {
        container.lifecycle.post_start.is_none() || self.post_start == Progress::Done
    }
}

/// Asking a container that runs to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) container: usize,
    pub(super) why: Why,
    /// The end of the grace period.
    pub(super) limit: Stamp,
}

impl Stop {
    /// preStop first, in the time there is; then SIGTERM, with at least two seconds until SIGKILL.
    pub(super) fn ask(self, spec: &Spec, seen: &Seen, now: Stamp, plan: &mut Plan) {
        self.begin(spec, seen, now, plan);
        if now < self.limit && self.waits(spec, seen) {
            plan.wake(self.limit);
            return;
        }
        let Self { container, why, limit } = self;
        let kill_at = limit.max(now.after(MIN_GRACE));
        plan.steps.push(Step::Terminate { container, why, kill_at });
        plan.wake(kill_at);
    }

    /// Lets preStop begin. No grace, no hook (kubelet `killContainer`).
    pub(super) fn begin(self, spec: &Spec, seen: &Seen, now: Stamp, plan: &mut Plan) {
        let Self { container, limit, .. } = self;
        let is_due = seen.hooks.pre_stop == Progress::Due;
        if is_due && now < limit && spec.containers[container].lifecycle.pre_stop.is_some() {
            let hook = HookKind::PreStop;
            plan.steps.push(Step::Hook { container, hook, until: Some(limit) });
        }
    }

    fn waits(self, spec: &Spec, seen: &Seen) -> bool {
        let has_hook = spec.containers[self.container].lifecycle.pre_stop.is_some();
        has_hook && matches!(seen.hooks.pre_stop, Progress::Due | Progress::Running)
    }
}

/// What is due for a container that runs and is wanted.
pub(super) fn attend(spec: &Spec, seen: &Seen, container: usize, now: Stamp, plan: &mut Plan) {
    match seen.hooks.post_start {
        Progress::Due if spec.containers[container].lifecycle.post_start.is_some() => {
            plan.steps.push(Step::Hook { container, hook: HookKind::PostStart, until: None });
        }
        Progress::Failed { at } => {
            let limit = at.after(spec.grace);
            Stop { container, why: Why::PostStart, limit }.ask(spec, seen, now, plan);
        }
        Progress::Due | Progress::Running | Progress::Done => (),
    }
}
