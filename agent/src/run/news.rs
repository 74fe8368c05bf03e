//! What the loop tells of its pods: Kubernetes' Events, in the kubelet's words where it has some. Told once a turn, all
//! together; what cannot be stored is lost, and said.

use std::time::Duration;

use super::{Agent, clock, kept::Kept};
use crate::{
    account,
    act::{chain, pull::Fetched},
    manifest,
    plan::{Step, Supply, restart},
    pod::{
        Role, Stamp,
        event::{
            About, Again, Event,
            Weight::{self, Normal, Warning},
        },
        probe::{HookKind, ProbeKind},
        status::{BootId, Ended},
        verdict::{Cause, Sender, Why},
    },
};

/// One event of a pod, before it is known when it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct News {
    container: Option<usize>,
    weight: Weight,
    reason: &'static str,
    message: String,
    again: Again,
}

impl Kept {
    /// Something happened to the pod, or to one of its containers.
    pub(super) fn tell(
        &mut self,
        container: Option<usize>,
        weight: Weight,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        self.news.push(News { container, weight, reason, message: message.into(), again: Again::Counts });
    }

    /// The same, told once in the life of the pod.
    fn tell_once(&mut self, reason: &'static str, message: String) {
        self.news.push(News { container: None, weight: Normal, reason, message, again: Again::IsKnown });
    }

    /// The box has taken the pod: also what of its manifest has no effect here.
    pub(super) fn tell_admitted(&mut self, node: &str) {
        self.tell_once("Scheduled", format!("Successfully assigned {} to {node}", self.spec.name));
        let ignored = manifest::without_effect(&self.object);
        if !ignored.is_empty() {
            self.tell_once("FieldIgnored", ignored.join("; "));
        }
    }

    pub(super) fn tell_pulling(&mut self, container: usize, image: &str) {
        self.tell(Some(container), Normal, "Pulling", format!("Pulling image \"{image}\""));
    }

    pub(super) fn tell_fetched(&mut self, container: usize, image: &str, fetched: &Fetched, took: Duration) {
        let message = match fetched {
            Fetched::Present => format!("Container image \"{image}\" already present on machine"),
            Fetched::Pulled { size } => {
                let took = took.as_secs_f64();
                format!("Successfully pulled image \"{image}\" in {took:.3}s. Image size: {size} bytes.")
            }
            Fetched::Unchecked { why } => {
                let message =
                    format!("No registry can say whether image \"{image}\" is the newest; it is used: {why}");
                return self.tell(Some(container), Warning, "ImageUnchecked", message);
            }
        };
        self.tell(Some(container), Normal, "Pulled", message);
    }

    pub(super) fn tell_started(&mut self, container: usize, attempt: u32) {
        let name = self.spec.containers[container].name.clone();
        let (created, started) = (format!("Created container: {name}"), format!("Started container {name}"));
        if self.seen.containers[container].supply != (Supply::Fetched { attempt }) {
            let image = self.spec.containers[container].image.clone();
            self.tell_fetched(container, &image, &Fetched::Present, Duration::ZERO);
        }
        self.tell(Some(container), Normal, "Created", created);
        self.tell(Some(container), Normal, "Started", started);
    }

    /// `reason` is the one that the container waits with.
    pub(super) fn tell_not_started(&mut self, container: usize, reason: &'static str, message: &str) {
        let image = &self.spec.containers[container].image;
        match reason {
            "ErrImagePull" => {
                let message = format!("Failed to pull image \"{image}\": {message}");
                self.tell(Some(container), Warning, "Failed", message);
            }
            "ErrImageNeverPull" | "InvalidImageName" => self.tell(Some(container), Warning, reason, message),
            _ => self.tell(Some(container), Warning, "Failed", format!("Error: {reason}: {message}")),
        }
    }

    /// A container is asked to end, or made to.
    pub(super) fn tell_issued(&mut self, step: &Step) {
        match *step {
            Step::Terminate { container, why, .. } => {
                let name = &self.spec.containers[container].name;
                let message = match why {
                    Why::Liveness => format!("Container {name} failed liveness probe, will be restarted"),
                    Why::Startup => format!("Container {name} failed startup probe, will be restarted"),
                    Why::Changed => format!("Container {name} definition changed, will be restarted"),
                    Why::PostStart => format!("Container {name}: its postStart hook failed, it is ended"),
                    _ => format!("Stopping container {name}"),
                };
                self.tell(Some(container), Normal, "Killing", message);
            }
            Step::Kill { container, why: Why::RestartAll } => {
                let name = &self.spec.containers[container].name;
                let message = format!("Stopping container {name}: all containers of the pod are restarted");
                self.tell(Some(container), Normal, "Killing", message);
            }
            Step::Kill { container, why } => {
                let name = &self.spec.containers[container].name;
                let (reason, said) = match why {
                    Why::IgnoresTerm => ("Killing", "ignores SIGTERM"),
                    _ => ("GraceExpired", "has not ended in its grace period"),
                };
                self.tell(Some(container), Warning, reason, format!("Container {name} {said}: SIGKILL"));
            }
            _ => (),
        }
    }

    pub(super) fn tell_hook_failed(&mut self, container: usize, hook: HookKind, message: &str) {
        let (reason, name) = match hook {
            HookKind::PostStart => ("FailedPostStartHook", "PostStartHook"),
            HookKind::PreStop => ("FailedPreStopHook", "PreStopHook"),
        };
        self.tell(Some(container), Warning, reason, format!("{name} failed: {message}"));
    }

    pub(super) fn tell_unhealthy(&mut self, container: usize, kind: ProbeKind, message: &str) {
        let name = match kind {
            ProbeKind::Liveness => "Liveness",
            ProbeKind::Readiness => "Readiness",
            ProbeKind::Startup => "Startup",
        };
        self.tell(Some(container), Warning, "Unhealthy", format!("{name} probe failed: {message}"));
    }

    /// An attempt is over. Whether that is worth a warning is the verdict's affair; whether it will wait before the
    /// next, the back-off's.
    pub(super) fn tell_ended(&mut self, container: usize, ended: &Ended) {
        let (verdict, name) = (&ended.verdict, &self.spec.containers[container].name);
        let message = account::message(verdict);
        if let Cause::StartError { .. } = verdict.cause {
            let message = format!("Error: failed to start container \"{name}\": {message}");
            return self.tell(Some(container), Warning, "Failed", message);
        }
        let weight = match verdict.cause {
            Cause::Completed | Cause::Signalled(Sender::Agent(_)) => Normal,
            _ => Warning,
        };
        let message = format!("Container {name}: {message}");
        self.tell(Some(container), weight, account::reason(verdict), message);
        let seen = &self.seen.containers[container];
        let (pod, wanted) = (&self.spec.name, &self.spec.containers[container]);
        let again =
            restart::wanted(wanted, ended) && self.seen.deletion.is_none() && self.seen.early.is_none();
        if again && !restart::delay(wanted, seen.counted()).is_zero() {
            let name = &wanted.name;
            let message = format!(
                "Back-off restarting failed container {name} in pod {}_{}({})",
                pod.name, pod.namespace, self.spec.uid
            );
            self.tell(Some(container), Warning, "BackOff", message);
        }
    }

    fn event(&self, news: News, boot: &BootId, at: Stamp) -> (Event, Again) {
        let field = news.container.and_then(|container| self.spec.containers.get(container));
        let field = field.map(|container| match container.role {
            Role::Main => format!("spec.containers{{{}}}", container.name),
            Role::Ephemeral => format!("spec.ephemeralContainers{{{}}}", container.name),
            Role::Init | Role::Sidecar => format!("spec.initContainers{{{}}}", container.name),
        });
        let (namespace, name) = (self.spec.name.namespace.clone(), self.spec.name.name.clone());
        let uid = self.spec.uid.0.clone();
        let about = About { kind: "Pod".to_owned(), namespace, name, uid, field: field.unwrap_or_default() };
        let News { weight, reason, message, again, .. } = news;
        (Event { about, weight, reason: reason.to_owned(), message, boot: boot.clone(), at }, again)
    }
}

impl Agent {
    /// Something of the box itself, or of an object that is no pod.
    pub(super) fn announce(&mut self, about: About, weight: Weight, reason: &str, message: String) {
        let (reason, boot, at) = (reason.to_owned(), self.boot.clone(), clock::now());
        self.news.push((Event { about, weight, reason, message, boot, at }, Again::Counts));
    }

    /// The box itself, as an event's object.
    pub(super) fn node_about(&self) -> About {
        let name = self.config.node.clone();
        About { kind: "Node".to_owned(), uid: name.clone(), name, ..About::default() }
    }

    /// Writes down all that has happened since the last turn.
    pub(super) async fn publish_news(&mut self, now: Stamp) {
        let mut events = std::mem::take(&mut self.news);
        for kept in self.pods.values_mut() {
            for news in std::mem::take(&mut kept.news) {
                events.push(kept.event(news, &self.boot, now));
            }
        }
        if events.is_empty() {
            return;
        }
        if let Err(e) = self.journal.tell(events).await {
            tracing::error!(error = %chain(&e), "events are lost");
        }
    }
}
