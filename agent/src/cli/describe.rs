//! `carob describe`: all that is known of one object, laid out as kubectl does. Of a secret's values only their size.

use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    Scope,
    client::{Client, Kind},
    configs, events,
    get::{Word, one},
    output::say,
    why::signal,
    workloads,
};
use crate::{
    columns::{
        age,
        pod::{containers, init_containers, status},
        text,
    },
    manifest,
};

/// Where values begin at the outermost level.
const COLUMN: usize = 16;

/// Show all that is known of an object
#[derive(Debug, clap::Args)]
pub(crate) struct Describe {
    /// What the name is of
    #[arg(value_enum, value_name = "KIND")]
    kind: Word,
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    scope: Scope,
}

impl Describe {
    pub(super) async fn run(self, client: &Client, now: Timestamp) -> anyhow::Result<ExitCode> {
        let kind = self.kind.kind();
        let object = one(client, kind, &self.scope.namespace, &self.name).await?;
        let events =
            events::fetch(client, Some(&self.scope.namespace), Some(kind.kind()), Some(&self.name)).await?;
        let told = match kind {
            Kind::Pod => described(&object, now),
            Kind::Claim => configs::claim(&object),
            Kind::ConfigMap => configs::map(&object),
            Kind::Secret => configs::secret(&object),
            Kind::Namespace => configs::namespace(&object),
            Kind::Workload(kind) => workloads::described(&object, kind, now),
        };
        // Of another object that had the same name before nothing is told.
        let of_this = |event: &&Value| event["involvedObject"]["uid"] == object["metadata"]["uid"];
        let events: Vec<Value> = events.iter().filter(of_this).cloned().collect();
        say(&format!("{told}{}", events::section(&events, now)))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Lines of `key: value`, indented by depth.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) text: String,
}

impl Page {
    /// `  key:     value`
    pub(super) fn field(&mut self, depth: usize, key: &str, value: &str) {
        let start = format!("{}{key}:", "  ".repeat(depth));
        let line = format!("{start:<width$} {value}", width = COLUMN + 2 * depth);
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// A field that is not shown if it has no value.
    fn optional(&mut self, depth: usize, key: &str, value: &Value) {
        match value {
            Value::Null => {}
            Value::String(text) => self.field(depth, key, text),
            other => self.field(depth, key, &other.to_string()),
        }
    }

    /// `key=value` lines below each other, or `<none>`.
    pub(super) fn map(&mut self, depth: usize, key: &str, map: &Value, between: &str) {
        let entries = map.as_object().into_iter().flatten();
        let mut lines = entries.map(|(key, value)| format!("{key}{between}{}", plain(value)));
        self.field(depth, key, &lines.next().unwrap_or_else(|| "<none>".to_owned()));
        for line in lines {
            self.text.push_str(&format!("{:width$} {line}\n", "", width = COLUMN + 2 * depth));
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn described(pod: &Value, now: Timestamp) -> String {
    let mut page = Page::default();
    head(pod, now, &mut page);
    let lists = [
        ("Init Containers", &pod["spec"]["initContainers"], init_containers(pod)),
        ("Containers", &pod["spec"]["containers"], containers(pod)),
    ];
    for (heading, wanted, statuses) in lists {
        for (index, container) in wanted.as_array().into_iter().flatten().enumerate() {
            if index == 0 {
                page.field(0, heading, "");
            }
            let named = |status: &&Value| status["name"] == container["name"];
            self::container(container, statuses.iter().find(named).unwrap_or(&Value::Null), &mut page);
        }
    }
    conditions(pod, &mut page);
    volumes(pod, &mut page);
    page.text
}

fn head(pod: &Value, now: Timestamp, page: &mut Page) {
    let (metadata, spec, of) = (&pod["metadata"], &pod["spec"], &pod["status"]);
    page.field(0, "Name", &text(&metadata["name"]));
    page.field(0, "Namespace", &text(&metadata["namespace"]));
    page.field(0, "UID", &text(&metadata["uid"]));
    page.field(0, "Node", &node(pod));
    page.optional(0, "Start Time", &of["startTime"]);
    page.map(0, "Labels", &metadata["labels"], "=");
    page.map(0, "Annotations", &metadata["annotations"], ": ");
    match metadata["deletionTimestamp"].as_str() {
        Some(end) => {
            let left = age::human(
                end.parse().map_or(jiff::SignedDuration::ZERO, |end: Timestamp| end.duration_since(now)),
            );
            page.field(0, "Status", &format!("{} (ends within {left})", status(pod)));
            page.optional(0, "Grace Period", &metadata["deletionGracePeriodSeconds"]);
        }
        None => page.field(0, "Status", &status(pod)),
    }
    page.optional(0, "Reason", &of["reason"]);
    page.optional(0, "Message", &of["message"]);
    page.field(0, "IP", of["podIP"].as_str().unwrap_or_default());
    let all = of["podIPs"].as_array().map(Vec::as_slice).unwrap_or_default();
    if all.len() > 1 {
        page.field(0, "IPs", "");
        all.iter().for_each(|one| page.optional(1, "IP", &one["ip"]));
    }
    let owners = metadata["ownerReferences"].as_array();
    if let Some(owner) = owners.into_iter().flatten().find(|owner| owner["controller"] == true) {
        page.field(0, "Controlled By", &format!("{}/{}", text(&owner["kind"]), text(&owner["name"])));
    }
    page.optional(0, "QoS Class", &of["qosClass"]);
    page.optional(0, "Restart Policy", &spec["restartPolicy"]);
    let ignored = ignored(pod);
    if !ignored.is_empty() {
        list(0, "Ignored Fields", ignored.into_iter(), page);
    }
}

/// What of the manifest has no effect here. The node's name has the agent filled in.
fn ignored(pod: &Value) -> Vec<String> {
    let mut pod = pod.clone();
    if let Some(spec) = pod["spec"].as_object_mut() {
        spec.remove("nodeName");
    }
    manifest::without_effect(&pod)
}

/// `box/192.0.2.1`, as kubectl has it.
fn node(pod: &Value) -> String {
    let name = text(&pod["spec"]["nodeName"]);
    pod["status"]["hostIP"].as_str().map_or(name.clone(), |address| format!("{name}/{address}"))
}

fn container(spec: &Value, status: &Value, page: &mut Page) {
    page.field(1, &text(&spec["name"]), "");
    page.field(2, "Container ID", status["containerID"].as_str().unwrap_or_default());
    page.field(2, "Image", &text(&spec["image"]));
    page.field(2, "Image ID", status["imageID"].as_str().unwrap_or_default());
    words(2, "Command", &spec["command"], page);
    words(2, "Args", &spec["args"], page);
    state("State", &status["state"], page);
    if status["lastState"].as_object().is_some_and(|last| !last.is_empty()) {
        state("Last State", &status["lastState"], page);
    }
    page.field(2, "Ready", if status["ready"] == true { "True" } else { "False" });
    page.field(2, "Restart Count", &status["restartCount"].as_u64().unwrap_or(0).to_string());
    for (title, amounts) in
        [("Limits", &spec["resources"]["limits"]), ("Requests", &spec["resources"]["requests"])]
    {
        if amounts.as_object().is_some_and(|amounts| !amounts.is_empty()) {
            page.map(2, title, amounts, ": ");
        }
    }
    let groups = spec["envFrom"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !groups.is_empty() {
        list(2, "Environment Variables from", groups.iter().map(configs::group), page);
    }
    let variables = spec["env"].as_array().map(Vec::as_slice).unwrap_or_default();
    list(2, "Environment", variables.iter().map(configs::variable), page);
    let mounts = spec["volumeMounts"].as_array().map(Vec::as_slice).unwrap_or_default();
    list(2, "Mounts", mounts.iter().map(mount), page);
}

fn mount(mount: &Value) -> String {
    let access = if mount["readOnly"] == true { "ro" } else { "rw" };
    let part = mount["subPath"].as_str().map(|part| format!(", path={part:?}")).unwrap_or_default();
    format!("{} from {} ({access}{part})", text(&mount["mountPath"]), text(&mount["name"]))
}

/// A command's words, one a line as kubectl has it.
fn words(depth: usize, title: &str, words: &Value, page: &mut Page) {
    let Some(words) = words.as_array().filter(|words| !words.is_empty()) else { return };
    list(depth, title, words.iter().map(plain), page);
}

fn list(depth: usize, title: &str, lines: impl Iterator<Item = String>, page: &mut Page) {
    let mut lines = lines.peekable();
    page.field(depth, title, if lines.peek().is_some() { "" } else { "<none>" });
    for line in lines {
        for part in line.lines() {
            page.text.push_str(&format!("{}{part}\n", "  ".repeat(depth + 1)));
        }
    }
}

fn state(title: &str, state: &Value, page: &mut Page) {
    let kinds = [("waiting", "Waiting"), ("running", "Running"), ("terminated", "Terminated")];
    let Some((key, word)) = kinds.into_iter().find(|(key, _)| state[key].is_object()) else {
        return page.field(2, title, "Waiting");
    };
    let state = &state[key];
    page.field(2, title, word);
    page.optional(3, "Reason", &state["reason"]);
    page.optional(3, "Message", &state["message"]);
    if word == "Terminated" {
        page.optional(3, "Exit Code", &state["exitCode"]);
    }
    if let Some(number) = state["signal"].as_i64() {
        page.field(3, "Signal", &format!("{number} ({})", signal(number)));
    }
    page.optional(3, "Started", &state["startedAt"]);
    page.optional(3, "Finished", &state["finishedAt"]);
}

fn conditions(pod: &Value, page: &mut Page) {
    page.field(0, "Conditions", "");
    for condition in pod["status"]["conditions"].as_array().into_iter().flatten() {
        let reason = condition["reason"].as_str().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let line = format!("  {:<28}{}{reason}", text(&condition["type"]), text(&condition["status"]));
        page.text.push_str(&format!("{line}\n"));
    }
}

fn volumes(pod: &Value, page: &mut Page) {
    let volumes = pod["spec"]["volumes"].as_array().map(Vec::as_slice).unwrap_or_default();
    page.field(0, "Volumes", if volumes.is_empty() { "<none>" } else { "" });
    for volume in volumes {
        let sources = volume.as_object().into_iter().flatten().filter(|(key, _)| *key != "name");
        for (kind, source) in sources {
            page.field(1, &text(&volume["name"]), kind);
            for (key, value) in source.as_object().into_iter().flatten() {
                page.optional(2, key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_told_with_its_last_death() {
        let pod = json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u-1", "labels": {"app": "web", "tier": "1"},
                         "deletionTimestamp": "2026-11-23T10:00:30Z", "deletionGracePeriodSeconds": 30},
            "spec": {"nodeName": "box", "restartPolicy": "Always",
                "containers": [{"name": "main", "image": "busybox:1", "command": ["sh", "-c"], "args": ["a\nb"],
                    "resources": {"limits": {"cpu": "1", "memory": "64Mi"}}, "env": [{"name": "A", "value": "b"}],
                    "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": true, "subPath": "x"}]}],
                "volumes": [{"name": "data", "emptyDir": {"medium": "Memory"}}]},
            "status": {"phase": "Running", "qosClass": "Burstable", "startTime": "2026-11-23T09:00:00Z",
                "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}],
                "containerStatuses": [{"name": "main", "restartCount": 1, "ready": true,
                    "containerID": "carob://u-1_main_1", "imageID": "sha256:ab",
                    "state": {"running": {"startedAt": "2026-11-23T09:59:00Z"}},
                    "lastState": {"terminated": {"exitCode": 137, "signal": 9, "reason": "OOMKilled",
                        "message": "OOM: container limit 64Mi", "finishedAt": "2026-11-23T09:58:00Z"}}}]},
        });
        let expected = "\
Name:            web
Namespace:       shop
UID:             u-1
Node:            box
Start Time:      2026-11-23T09:00:00Z
Labels:          app=web
                 tier=1
Annotations:     <none>
Status:          Terminating (ends within 25s)
Grace Period:    30
IP:
QoS Class:       Burstable
Restart Policy:  Always
Containers:
  main:
    Container ID:    carob://u-1_main_1
    Image:           busybox:1
    Image ID:        sha256:ab
    Command:
      sh
      -c
    Args:
      a
      b
    State:           Running
      Started:         2026-11-23T09:59:00Z
    Last State:      Terminated
      Reason:          OOMKilled
      Message:         OOM: container limit 64Mi
      Exit Code:       137
      Signal:          9 (SIGKILL)
      Finished:        2026-11-23T09:58:00Z
    Ready:           True
    Restart Count:   1
    Limits:          cpu: 1
                     memory: 64Mi
    Environment:
      A: b
    Mounts:
      /data from data (ro, path=\"x\")
Conditions:
  Ready                       False (ContainersNotReady)
Volumes:
  data:            emptyDir
    medium:          Memory
";
        assert_eq!(described(&pod, "2026-11-23T10:00:05Z".parse().unwrap()), expected);
    }

    #[test]
    fn a_pod_that_has_no_status_yet_is_told_too() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}, "status": {"phase": "Pending"}});
        let told = described(&pod, Timestamp::UNIX_EPOCH);
        assert!(
            told.contains("Status:          Pending") && told.contains("State:           Waiting"),
            "{told}"
        );
    }
}
