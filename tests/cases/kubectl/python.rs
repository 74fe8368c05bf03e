//! Kubernetes' own client for Python: typed calls, a watch, its streams.

use anyhow::{Result, ensure};

use crate::client::Client;

/// What each program begins with. `sys.argv`: the port, the folder of what was handed over.
const BEGINS: &str = r#"
import functools, queue, sys, threading
from kubernetes import client, config, watch
from kubernetes.informer import SharedInformer
from kubernetes.stream import stream, portforward

configuration = client.Configuration()
config.load_kube_config(sys.argv[2] + "/admin.kubeconfig", client_configuration=configuration)
configuration.host = "https://127.0.0.1:" + sys.argv[1]
core = client.CoreV1Api(client.ApiClient(configuration))
"#;

const CALLS: &str = r#"
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

const CALLS_SAY: &str = "made snake
watched ADDED True
patched top
logs hello
exec inside 3
port answer None
map b
gone
then 404 Not Found
";

/// Its informer's watches end after two seconds, and go on from where they were; later from a version that nobody remembers
/// any more, and while nobody watched something has changed.
const INFORMER: &str = r#"
def scale(name, **labels):
    return {"metadata": {"name": name, "labels": labels}, "data": {"a": "b"}}
def create(name, **labels):
    return core.create_namespaced_config_map("default", scale(name, **labels)).metadata.resource_version
def delete(name):
    core.delete_namespaced_config_map(name, "default")

asked, expired = [], threading.Event()
@functools.wraps(core.list_namespaced_config_map)
def ask(*words, **how):
    asked.append("watch" if how.get("watch") else "list")
    if how.get("watch"):
        how.update(timeout_seconds=2, allow_watch_bookmarks=True)
    if how.get("watch") and expired.is_set():
        if not meanwhile.is_set():
            meanwhile.set()
            delete("second")
            create("third", kept="yes")
        how["resource_version"] = "1"
    return core.list_namespaced_config_map(*words, **how)

meanwhile, told = threading.Event(), queue.Queue()
informer = SharedInformer(ask, namespace="default", label_selector="kept=yes")
for kind in ["ADDED", "MODIFIED", "DELETED"]:
    informer.add_event_handler(kind, lambda seen, kind=kind: told.put((kind, seen.metadata.name)))
informer.add_event_handler("BOOKMARK", lambda seen: told.put(("BOOKMARK", int(seen["metadata"]["resourceVersion"]))))
def failed(fault):
    expired.clear()
    told.put(("ERROR", getattr(fault, "status", fault)))
informer.add_event_handler("ERROR", failed)
def await_word(*wanted):
    while True:
        word = told.get(timeout=60)
        if word[0] != "BOOKMARK":
            assert word == wanted, (word, wanted)
            print(*word)
            return
def await_bookmark(version):
    while True:
        kind, seen = told.get(timeout=60)
        assert kind == "BOOKMARK", (kind, seen)
        if seen >= version:
            return

create("first", kept="yes")
informer.start()
await_word("ADDED", "first")
create("second", kept="yes")
await_word("ADDED", "second")
core.patch_namespaced_config_map("second", "default", {"data": {"a": "c"}})
await_word("MODIFIED", "second")
await_bookmark(int(create("other")))
watches = asked.count("watch")
while asked.count("watch") < watches + 2:
    await_bookmark(0)
delete("first")
await_word("DELETED", "first")
print("lists", asked.count("list"))
expired.set()
await_word("ERROR", 410)
await_word("DELETED", "second")
await_word("ADDED", "third")
print("lists", asked.count("list"), [each.metadata.name for each in informer.cache.list()])
# Its thread must not be in the middle of a word when the interpreter ends.
informer.stop()
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        thread.join(20)
"#;

const INFORMER_SAYS: &str = "ADDED first
ADDED second
MODIFIED second
DELETED first
lists 1
ERROR 410
DELETED second
ADDED third
lists 2 ['third']
";

pub(super) fn calls(client: &Client) -> Result<()> {
    says(client, CALLS, CALLS_SAY)
}

pub(super) fn informs(client: &Client) -> Result<()> {
    says(client, INFORMER, INFORMER_SAYS)
}

fn says(client: &Client, program: &str, expected: &str) -> Result<()> {
    let said = client.python(&format!("{BEGINS}{program}"))?;
    ensure!(said == expected, "it says\n{said}");
    Ok(())
}
