//! Kubernetes' own client for Python: typed calls, a watch, its streams.

use anyhow::{Result, ensure};

use crate::client::Client;

/// `sys.argv`: the port, the folder of what was handed over.
const PROGRAM: &str = r#"
import sys, threading, urllib.request, socket
from kubernetes import client, config, watch
from kubernetes.stream import stream, portforward

configuration = client.Configuration()
config.load_kube_config(sys.argv[2] + "/admin.kubeconfig", client_configuration=configuration)
configuration.host = "https://127.0.0.1:" + sys.argv[1]
core = client.CoreV1Api(client.ApiClient(configuration))

script = "echo hello; while true; do echo answer | nc -l -p 8080; done"
pod = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "snake", "labels": {"app": "snake"}},
    "spec": {"terminationGracePeriodSeconds": 1, "containers": [{
        "name": "main", "image": "carob-work:1", "imagePullPolicy": "Never",
        "command": ["sh", "-c", script]}]},
}
before = core.list_namespaced_pod("default")
made = core.create_namespaced_pod("default", pod)
print("made", made.metadata.name)
seen = []
for event in watch.Watch().stream(core.list_namespaced_pod, "default", label_selector="app=snake",
                                  resource_version=before.metadata.resource_version, timeout_seconds=90):
    seen.append(event["type"])
    if event["object"].status.phase == "Running":
        break
print("watched", seen[0], len(seen) > 1)
core.patch_namespaced_pod("snake", "default", {"metadata": {"labels": {"shelf": "top"}}})
print("patched", core.read_namespaced_pod("snake", "default").metadata.labels["shelf"])
print("logs", core.read_namespaced_pod_log("snake", "default").strip())
said = stream(core.connect_get_namespaced_pod_exec, "snake", "default", command=["sh", "-c", "echo inside; exit 3"],
              stdout=True, stderr=True, stdin=False, tty=False, _preload_content=False)
said.run_forever(timeout=60)
print("exec", said.read_stdout().strip(), said.returncode)
ports = portforward(core.connect_get_namespaced_pod_portforward, "snake", "default", ports="8080")
way = ports.socket(8080)
way.setblocking(True)
way.settimeout(60)
print("port", way.recv(64).decode().strip(), ports.error(8080))
core.create_namespaced_config_map("default", {"metadata": {"name": "scales"}, "data": {"a": "b"}})
print("map", core.read_namespaced_config_map("scales", "default").data["a"])
core.delete_namespaced_pod("snake", "default")
for event in watch.Watch().stream(core.list_namespaced_pod, "default", field_selector="metadata.name=snake",
                                  timeout_seconds=90):
    if event["type"] == "DELETED":
        print("gone")
        break
try:
    core.read_namespaced_pod("snake", "default")
except client.exceptions.ApiException as fault:
    print("then", fault.status, fault.reason)
"#;

const SAYS: &str = "made snake
watched ADDED True
patched top
logs hello
exec inside 3
port answer None
map b
gone
then 404 Not Found
";

pub(super) fn calls(client: &Client) -> Result<()> {
    let said = client.python(PROGRAM)?;
    ensure!(said == SAYS, "it says\n{said}");
    Ok(())
}
