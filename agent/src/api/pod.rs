//! A pod as the API shows it: the stored object with the status the picture has of it. Pure.

use serde_json::{Map, Value, json};

use super::{conditions, date};
use crate::{
    account,
    manifest::{self, allocation},
    picture::{Picture, PodPicture},
    pod::{
        AttemptId, PodName, PodUid, Role, Stamp,
        network::Address,
        qos,
        status::{BootId, Condition, ContainerState, ContainerStatus, Ended, Live, Phase, Readiness, Truth},
        verdict::Cause,
    },
};

/// What stands for an exit code that nobody knows; the message beside it says so.
const UNKNOWN_CODE: i32 = 255;
/// What containerd reports for a container that never ran.
const NEVER_RAN_CODE: i32 = 128;

/// The whole object. Without a picture of it the pod has only just been created.
pub(super) fn shown(mut object: Value, picture: &Picture) -> Value {
    object["apiVersion"] = json!("v1");
    object["kind"] = json!("Pod");
    let pod = of(&object, picture);
    let mut status = match pod {
        Some(pod) => status(pod, picture),
        None => json!({"phase": Phase::Pending.name()}),
    };
    let class = match pod {
        Some(pod) => Some(qos::class(&pod.spec)),
        None => manifest::spec(&allocation::in_force(&object), PodUid(uid(&object).to_owned()))
            .ok()
            .map(|spec| qos::class(&spec)),
    };
    if let Some(class) = class {
        status["qosClass"] = json!(class.name());
    }
    let is_held = pod.is_some_and(|pod| pod.status.is_held());
    if object["spec"].is_object() && !is_held {
        object["spec"]["nodeName"] = json!(picture.node);
    }
    object["status"] = conditions::with_clients(status, &object["status"]);
    object
}

/// The picture of this very pod: the same name is not enough.
pub(super) fn of<'a>(object: &Value, picture: &'a Picture) -> Option<&'a PodPicture> {
    let field = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    let pod = picture.pods.get(&PodName { namespace: field("namespace"), name: field("name") })?;
    (pod.spec.uid.0 == uid(object)).then_some(pod)
}

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

fn status(pod: &PodPicture, picture: &Picture) -> Value {
    let status = &pod.status;
    let own = pod.reached_at(picture.address);
    let start = status.start.and_then(|start| when(picture, &picture.boot, start));
    let of = |is_of: fn(Role) -> bool| -> Vec<&ContainerStatus> {
        status.containers.iter().filter(|one| is_of(one.role)).collect()
    };
    let (init, main) = (of(Role::is_init), of(|role| role == Role::Main));
    let ephemeral = of(|role| role == Role::Ephemeral);
    let given = allocation::in_force(&pod.object);
    let shown = |list: &[&ContainerStatus]| list.iter().map(|one| container(one, &given, picture)).collect();
    // Who is not let in yet is on no node.
    let is_bound = !status.is_held();
    let generation = pod.object["metadata"].get("generation").cloned();
    sparse([
        ("observedGeneration", generation),
        ("phase", Some(json!(status.phase.name()))),
        ("reason", status.reason.as_ref().map(|reason| json!(reason))),
        ("message", status.message.as_ref().map(|message| json!(message))),
        ("conditions", Some(status.conditions.iter().map(|one| condition(one, pod, picture)).collect())),
        ("startTime", start),
        ("hostIP", is_bound.then(|| json!(picture.address.v4))),
        ("hostIPs", is_bound.then(|| addresses(picture.address))),
        ("podIP", own.map(|address| json!(address.v4))),
        ("podIPs", own.map(addresses)),
        ("initContainerStatuses", (!init.is_empty()).then(|| shown(&init))),
        ("containerStatuses", Some(shown(&main))),
        ("ephemeralContainerStatuses", (!ephemeral.is_empty()).then(|| shown(&ephemeral))),
    ])
}

/// Of both families, the primary one first.
fn addresses(of: Address) -> Value {
    of.forms().map(|address| json!({"ip": address})).collect()
}

fn condition(condition: &Condition, pod: &PodPicture, picture: &Picture) -> Value {
    let holds = match condition.holds {
        Truth::True => "True",
        Truth::False => "False",
    };
    let turned = pod.turned.get(condition.kind);
    sparse([
        ("type", Some(json!(condition.kind))),
        ("status", Some(json!(holds))),
        ("lastTransitionTime", turned.and_then(|at| when(picture, &picture.boot, *at))),
        ("reason", condition.reason.map(|reason| json!(reason))),
        ("message", condition.message.as_ref().map(|message| json!(message))),
    ])
}

fn container(status: &ContainerStatus, given: &Value, picture: &Picture) -> Value {
    let last = status.last.as_ref().map_or_else(|| json!({}), |ended| terminated(ended, picture));
    let mut shown = json!({
        "name": status.name,
        "image": status.image,
        "imageID": status.image_id.as_deref().unwrap_or_default(),
        "containerID": latest(status).map(container_id).unwrap_or_default(),
        "ready": status.ready == Readiness::Ready,
        "started": status.started,
        "restartCount": status.restarts,
        "state": state(&status.state, picture),
        "lastState": last,
    });
    let resources = resources(given, &status.name);
    if let Some(requests) = resources["requests"].as_object().filter(|requests| !requests.is_empty()) {
        shown["allocatedResources"] = json!(requests);
    }
    if resources.as_object().is_some_and(|resources| !resources.is_empty()) {
        shown["resources"] = resources;
    }
    shown
}

/// What the container was given.
fn resources(given: &Value, name: &str) -> Value {
    let lists = ["containers", "initContainers"].map(|list| given["spec"][list].as_array());
    let mut all = lists.into_iter().flatten().flatten();
    all.find(|container| container["name"] == name)
        .map(|found| found["resources"].clone())
        .unwrap_or_default()
}

/// The attempt that a container's id and log belong to: the current one, else the one before.
pub(super) fn latest(status: &ContainerStatus) -> Option<&AttemptId> {
    match &status.state {
        ContainerState::Running(live) => Some(&live.id),
        ContainerState::Terminated(ended) => Some(&ended.id),
        ContainerState::Waiting { .. } => status.last.as_ref().map(|ended| &ended.id),
    }
}

fn state(state: &ContainerState, picture: &Picture) -> Value {
    match state {
        ContainerState::Waiting { reason, message } => {
            let message = message.as_ref().map(|message| json!(message));
            json!({"waiting": sparse([("reason", Some(json!(reason))), ("message", message)])})
        }
        ContainerState::Running(Live { started, .. }) => {
            json!({"running": sparse([("startedAt", when(picture, &picture.boot, *started))])})
        }
        ContainerState::Terminated(ended) => terminated(ended, picture),
    }
}

fn terminated(ended: &Ended, picture: &Picture) -> Value {
    let verdict = &ended.verdict;
    let started = ended.started.and_then(|stamp| when(picture, &ended.boot, stamp));
    let terminated = sparse([
        ("exitCode", Some(json!(exit_code(ended)))),
        ("signal", verdict.signal.map(|signal| json!(signal))),
        ("reason", Some(json!(account::reason(verdict)))),
        ("message", message(ended).map(Value::String)),
        ("startedAt", started),
        ("finishedAt", when(picture, &ended.boot, verdict.finished)),
        ("containerID", Some(json!(container_id(&ended.id)))),
    ]);
    json!({"terminated": terminated})
}

/// Kubernetes requires a number where there may be none.
fn exit_code(ended: &Ended) -> i32 {
    match (&ended.verdict.cause, ended.verdict.code) {
        (_, Some(code)) => code,
        (Cause::StartError { .. }, None) => NEVER_RAN_CODE,
        (_, None) => UNKNOWN_CODE,
    }
}

/// The program's own word first: it is what Kubernetes shows here. Then what carob knows.
fn message(ended: &Ended) -> Option<String> {
    match (&ended.said, explanation(ended)) {
        (Some(said), Some(known)) => Some(format!("{}\n{known}", said.trim_end_matches('\n'))),
        (Some(said), None) => Some(said.clone()),
        (None, known) => known,
    }
}

/// What a code alone does not tell.
fn explanation(ended: &Ended) -> Option<String> {
    let verdict = &ended.verdict;
    let message = || account::message(verdict);
    match verdict.cause {
        Cause::Completed | Cause::Error if verdict.asked.is_none() => None,
        Cause::StartError { .. } => Some(message()),
        _ if verdict.code.is_none() => Some(format!("the exit code is unknown: {}", message())),
        _ => Some(message()),
    }
}

pub(super) fn container_id(id: &AttemptId) -> String {
    format!("carob://{id}")
}

fn when(picture: &Picture, boot: &BootId, stamp: Stamp) -> Option<Value> {
    date::of_nanos(picture.wall(boot, stamp)?).map(Value::String)
}

/// An object of the fields that have a value.
fn sparse<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let present = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}
