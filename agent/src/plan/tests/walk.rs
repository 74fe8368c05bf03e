//! Walks through states that look random and are always the same: every one ends where it should.

use super::*;

/// A world that obeys: each step does what it says, now or later; the plan must bring it to rest.
struct World {
    seed: u64,
    spec: Spec,
    seen: Observed,
    now: Stamp,
    ends: Vec<End>,
}

impl World {
    fn roll(&mut self, sides: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % sides
    }

    fn end(&mut self, container: usize, end: End) {
        let seen = &mut self.seen.containers[container];
        if let State::Running(live) | State::Stopping { live, .. } | State::Killed(live) = &seen.state {
            let (n, started) = (live.id.attempt, live.started);
            seen.ended.push(ended(n, end, started, self.now));
            seen.state = State::Dead { attempt: n, clear_at: self.now };
        }
    }

    /// One step, as the agent would carry it out. Panics on a step that makes no sense in its state.
    fn obey(&mut self, step: &Step) {
        let fails = self.roll(4) == 0;
        let now = self.now;
        match *step {
            Step::MakeSandbox if fails => {
                self.seen.sandbox = Sandbox::Failed(Failure { at: now, ..failure(1) });
            }
            Step::MakeSandbox => self.seen.sandbox = Sandbox::Ready,
            Step::Limit { .. } if fails => {
                self.seen.limits = resize::Limits::Failed(Failure { at: now, ..failure(1) });
            }
            Step::Limit { .. } => self.seen.limits = resize::Limits::Written,
            Step::Pull { container, attempt } => {
                self.assert_its_turn(container);
                let seen = &mut self.seen.containers[container];
                if fails {
                    seen.state = State::Failed(Failure { at: now, ..failure(1) });
                } else {
                    seen.supply = Supply::Fetched { attempt };
                }
            }
            Step::StopPull { .. } => panic!("no pull takes any time here"),
            Step::Start { container, attempt } => {
                self.assert_its_turn(container);
                let misses = self.roll(4) == 0;
                let seen = &mut self.seen.containers[container];
                assert_eq!(seen.next_attempt, attempt);
                if seen.supply != (Supply::Fetched { attempt }) && misses {
                    seen.supply = Supply::Missing;
                    return;
                }
                assert!(seen.is_clear(), "started over remains: {seen:?}");
                if fails {
                    seen.state = State::Failed(Failure { at: now, ..failure(1) });
                } else {
                    seen.next_attempt += 1;
                    seen.hooks = Hooks::default();
                    seen.health = Health::new(&Probes::default());
                    seen.state = State::Running(Live { started: now, ..live(attempt) });
                }
            }
            Step::Hook { container, hook, .. } => {
                *self.seen.containers[container].hooks.at(hook) = match self.roll(3) {
                    0 => Progress::Failed { at: now },
                    1 if hook == HookKind::PreStop => Progress::Running,
                    _ => Progress::Done,
                };
            }
            Step::Terminate { container, kill_at, .. } => {
                let State::Running(live) = self.seen.containers[container].state.clone() else {
                    panic!("not running")
                };
                self.seen.containers[container].state = State::Stopping { live, kill_at };
                if fails {
                    self.end(container, End::Signal(15));
                }
            }
            Step::Kill { container, why } => {
                let (State::Stopping { live, .. } | State::Running(live)) =
                    self.seen.containers[container].state.clone()
                else {
                    panic!("not stopping")
                };
                assert!(
                    why != Why::RestartAll || live.id.attempt < self.seen.containers[container].round_from
                );
                self.seen.containers[container].state = State::Killed(live);
                self.end(container, End::Signal(9));
                if let Some(last) = self.seen.containers[container].ended.last_mut() {
                    last.verdict.asked = Some(why);
                }
            }
            Step::Clear { container, attempt } if fails => {
                let clear_at = now.after(Duration::from_secs(10));
                self.seen.containers[container].state = State::Dead { attempt, clear_at };
            }
            Step::Clear { container, .. } => self.seen.containers[container].state = State::Idle,
            Step::RemoveSandbox if fails => {
                self.seen.sandbox = Sandbox::Stuck(Failure { at: now, ..failure(1) });
            }
            Step::RemoveSandbox => {
                assert!(self.seen.containers.iter().all(Seen::is_clear), "a sandbox in use was removed");
                self.seen.sandbox = Sandbox::Absent;
            }
            Step::Forget => panic!("forgotten while observed"),
        }
    }

    /// What must be so whenever a container starts, whatever the planner thinks.
    fn assert_its_turn(&self, container: usize) {
        assert!(self.seen.deletion.is_none() && !self.seen.is_over(&self.spec), "a start while the pod ends");
        let begun = |seen: &Seen| seen.next_attempt > seen.round_from;
        if self.spec.containers[container].role == Role::Ephemeral {
            return;
        }
        for (before, seen) in self.seen.with(&self.spec).take(container) {
            let fits = match before.role {
                Role::Init => seen
                    .ended
                    .last()
                    .is_some_and(|last| last.verdict.code == Some(0) && last.id.attempt >= seen.round_from),
                Role::Sidecar => begun(seen),
                Role::Main | Role::Ephemeral => true,
            };
            assert!(fits, "{container} starts before its turn: {:?}", self.seen);
        }
    }

    /// A probe gives one of the containers up.
    fn give_up(&mut self) {
        let (container, own) = (self.roll(self.seen.containers.len() as u64) as usize, self.roll(2) == 0);
        let (since, grace) = (self.now, own.then_some(Duration::from_secs(5)));
        let unhealthy = Unhealthy { why: Why::Liveness, since, message: "given up".to_owned(), grace };
        self.seen.containers[container].health.unhealthy = Some(unhealthy);
    }

    /// Another agent knows what is in the ledger and what runs; the rest it finds out again.
    fn restart_the_agent(&mut self) {
        self.seen.sandbox = match self.seen.sandbox.clone() {
            Sandbox::Ready if self.seen.containers.iter().all(Seen::is_stopped) => {
                Sandbox::Failed(Failure { at: Stamp(0), ..failure(1) })
            }
            other => other,
        };
        for seen in &mut self.seen.containers {
            match seen.state {
                State::Failed(_) => seen.state = State::Idle,
                State::Running(_) => seen.hooks = Hooks::adopted(),
                _ => (),
            }
        }
    }

    /// Runs until nothing is due; `true` if the pod asked to be forgotten.
    fn settle(&mut self) -> bool {
        for _ in 0..500 {
            rounds::begin(&self.spec, &mut self.seen, self.now);
            let plan = plan(&self.spec, &self.seen, self.now);
            if plan.steps == [Step::Forget] {
                return true;
            }
            for step in &plan.steps {
                self.obey(step);
            }
            match (plan.steps.is_empty(), plan.wake_at) {
                (true, None) => return false,
                (true, Some(at)) => {
                    assert!(at > self.now, "a wake-up in the past spins");
                    self.now = at;
                }
                (false, _) => (),
            }
        }
        panic!("never came to rest: {:?}", self.seen)
    }
}

/// Pods of different make: what runs beside what, and after what.
const SHAPES: [&[Role]; 6] = {
    use Role::{Ephemeral, Init, Main, Sidecar};
    [
        &[Main, Main],
        &[Init, Main, Main],
        &[Sidecar, Main],
        &[Init, Sidecar, Main],
        &[Sidecar, Init, Init, Main],
        &[Init, Sidecar, Main, Ephemeral],
    ]
};

#[test]
fn every_walk_ends_where_it_should() {
    use RestartPolicy::{Always, Never, OnFailure};
    for seed in 1..400 {
        for (policy, roles) in
            [Always, OnFailure, Never].into_iter().flat_map(|policy| SHAPES.map(|s| (policy, s)))
        {
            let mut spec = roles::spec(policy, roles);
            let seen = Observed::new(&spec, this_boot(), T);
            let mut ends = vec![End::Code(0), End::Code(1), End::Signal(11), End::Unknown];
            if seed % 3 == 0 {
                let who = seed as usize % roles.len();
                spec.containers[who].restart.rules =
                    rounds::asking(policy, roles, who).containers[who].restart.rules.clone();
                ends[1] = End::Code(rounds::ALL_AGAIN);
            }
            for container in spec.containers.iter_mut().filter(|_| seed % 2 == 0) {
                let nap = Action::Sleep { wait: Duration::from_secs(1) };
                container.lifecycle.post_start = Some(nap.clone());
                container.lifecycle.pre_stop = Some(nap);
            }
            let mut world = World { seed: seed * 7919, spec, seen, now: T, ends };
            for _ in 0..12 {
                assert!(!world.settle(), "nobody deleted it");
                let containers = world.spec.containers.len() as u64;
                let (container, which) = (world.roll(containers) as usize, world.roll(4) as usize);
                let end = world.ends[which];
                world.end(container, end);
                if world.roll(3) == 0 {
                    world.restart_the_agent();
                }
                if world.roll(3) == 0 {
                    world.give_up();
                }
                if world.roll(4) == 0 {
                    world.seen.limits = resize::Limits::Changed;
                }
            }
            assert!(!world.settle());
            let over = world.seen.is_over(&world.spec);
            let resting = world.seen.with(&world.spec).enumerate().all(|(index, (container, each))| {
                let stays = matches!(each.state, State::Running(_)) || each.is_finished(container);
                stays || over || !order::may_start(&world.spec, &world.seen, index)
            });
            assert!(resting, "{:?}", world.seen);
            assert_eq!(
                over,
                world.seen.sandbox == Sandbox::Absent,
                "the sandbox lives as long as the pod: {:?}",
                world.seen
            );
            world.seen.deletion = Some(Deletion { since: world.now, grace: GRACE, why: Why::Delete });
            assert!(world.settle(), "a deleted pod goes: {:?}", world.seen);
        }
    }
}
