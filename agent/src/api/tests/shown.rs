//! Pods as the API shows them: from a picture to Kubernetes' status.

use serde_json::{Value, json};

use super::scene::{self, attempt, ended, object, running, status};
use crate::{
    api::*,
    pod::{
        status::{ContainerState, ContainerStatus},
        verdict::{Cause, LimitOwner, Victim},
    },
};

/// The only container of a pod in that state, as the API shows it.
fn shown(state: ContainerState, last: Option<crate::pod::status::Ended>) -> Value {
    let web = object("web", &["c"]);
    let mut picture = scene::picture();
    let containers: Vec<ContainerStatus> = vec![status("c", state, last)];
    let pod = Arc::new(scene::pod_picture(&web, containers));
    picture.pods.insert(pod.spec.name.clone(), pod);
    pod::shown(web, &picture)["status"].clone()
}

#[test]
fn a_status_has_kubernetes_form() {
    let last = ended(attempt("web", "c", 0), Some(3), None, Cause::Error);
    let expected = json!({
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-23T10:00:02Z", "reason": "ContainersNotReady"}],
        "startTime": "2026-11-23T10:00:01Z",
        "hostIP": "192.0.2.1",
        "hostIPs": [{"ip": "192.0.2.1"}],
        "podIP": "10.182.0.7",
        "podIPs": [{"ip": "10.182.0.7"}, {"ip": "fd00::7"}],
        "qosClass": "BestEffort",
        "containerStatuses": [{
            "name": "c", "image": "busybox:1", "imageID": "", "containerID": "carob://uid-web_c_1",
            "ready": true, "started": true, "restartCount": 1,
            "state": {"running": {"startedAt": "2026-11-23T10:00:10Z"}},
            "lastState": {"terminated": {
                "exitCode": 3, "reason": "Error", "containerID": "carob://uid-web_c_0",
                "startedAt": "2026-11-23T10:00:10Z", "finishedAt": "2026-11-23T10:00:20Z",
            }},
        }],
    });
    assert_eq!(shown(running(attempt("web", "c", 1)), Some(last)), expected);
    let waiting =
        ContainerState::Waiting { reason: "ErrImagePull", message: Some("no such image".to_owned()) };
    let status = shown(waiting, None);
    let container = &status["containerStatuses"][0];
    assert_eq!(
        container["state"],
        json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}})
    );
    assert_eq!((&container["containerID"], &container["lastState"]), (&json!(""), &json!({})));
}

#[test]
fn a_termination_never_pretends_to_know_its_code() {
    let unknown = || Cause::Unknown { why: "the record was lost".to_owned() };
    let start = || Cause::StartError { message: "no such file".to_owned() };
    let rows = [
        (Some(0), None, Cause::Completed, 0, "Completed", ""),
        (Some(7), None, Cause::Error, 7, "Error", ""),
        (
            Some(137),
            Some(9),
            Cause::Oom { limit: LimitOwner::Node, victim: Victim::Main },
            137,
            "OOMKilled",
            "Node",
        ),
        (
            None,
            None,
            unknown(),
            255,
            "ContainerStatusUnknown",
            "the exit code is unknown: the record was lost",
        ),
        (None, None, Cause::NodeReboot, 255, "NodeReboot", "the exit code is unknown: "),
        (None, None, start(), 128, "StartError", "no such file"),
    ];
    for (code, signal, cause, exit_code, reason, message) in rows {
        let over = ended(attempt("web", "c", 0), code, signal, cause);
        let status = shown(ContainerState::Terminated(over), None);
        let told = &status["containerStatuses"][0]["state"]["terminated"];
        assert_eq!((&told["exitCode"], &told["reason"]), (&json!(exit_code), &json!(reason)), "{told}");
        assert_eq!(told["signal"].as_i64(), signal.map(i64::from), "{told}");
        let said = told["message"].as_str().unwrap_or_default();
        // `account` chooses the words for an OOM kill; that there are some is all that counts here.
        let fits = if reason == "OOMKilled" { !said.is_empty() } else { said.contains(message) };
        assert!(fits && said.is_empty() == message.is_empty(), "{told}");
    }
}

#[test]
fn a_pod_of_the_same_name_is_another_pod() {
    let web = object("web", &["c"]);
    let mut picture = scene::picture();
    let old = Arc::new(scene::pod_picture(&web, vec![status("c", running(attempt("web", "c", 0)), None)]));
    picture.pods.insert(old.spec.name.clone(), old);
    let mut new = web;
    new["metadata"]["uid"] = json!("uid-2");
    assert_eq!(pod::shown(new, &picture)["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
}
