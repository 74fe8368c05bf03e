//! Sets of pods that are to run for good.

use std::cell::Cell;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Maker, PODS, is_ready, name, template};
use crate::{
    pods::{PATIENCE, apply, ledger, ready},
    world::World,
};

const APPS: &str = "/apis/apps/v1";

fn manifest(kind: &str, name: &str, spec: &str, script: &str, more: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: {kind}\nmetadata: {{ name: {name} }}\nspec:\n  selector: {{ matchLabels: {{ app: a }} }}\n{spec}{}",
        template("  ", "Always", script, more)
    )
}

pub(super) fn deployment(world: &World) -> Result<()> {
    let text = |script: &str| manifest("Deployment", "web", "  replicas: 2\n", script, "");
    let web = Maker::apply(world, "deployment", APPS, "web", &text("exec /work sleep"))?;
    web.await_status("two are ready", |status| status["readyReplicas"] == 2)?;
    let before = web.pods()?;
    ensure!(before.iter().all(|pod| name(pod).starts_with("web-")), "{before:?}");
    web.change(&text("echo newer; exec /work sleep"))?;
    let restarted = Cell::new(false);
    web.world.wait_until("all pods are new ones", PATIENCE, || {
        let pods = web.pods()?;
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        if ready < 2 && pods.iter().all(|pod| pod["metadata"]["deletionTimestamp"].is_null()) {
            // Only a loss of ready pods is a fault of the rollout; a pod that goes is not ready by right.
            ensure!(pods.len() > 2 || restarted.get(), "fewer than two are ready: {pods:?}");
        }
        if pods.len() > 2 && !restarted.replace(true) {
            world.kill_and_await(PATIENCE)?;
        }
        let old = pods
            .iter()
            .filter(|pod| before.iter().any(|old| old["metadata"]["uid"] == pod["metadata"]["uid"]));
        ensure!(old.count() == 0 && pods.len() == 2 && ready == 2, "there are {}", pods.len());
        Ok(())
    })?;
    ensure!(restarted.get(), "the agent was not killed in the middle");
    one_by_one(world, &before, &web.pods()?)?;
    let table = world.carob_ok(&["get", "deploy", "web"])?;
    ensure!(
        table.starts_with("NAME   READY   UP-TO-DATE   AVAILABLE   AGE\nweb    2/2     2            2"),
        "{table}"
    );
    world.carob_ok(&["delete", "deployment", "web"])?;
    let list = world.read(PODS)?;
    let left = list["items"].as_array().into_iter().flatten().filter(|pod| name(pod).starts_with("web-"));
    ensure!(left.count() == 0, "pods are left: {list}");
    Ok(())
}

/// The kernel's times: each old pod ended after another new one had started.
fn one_by_one(world: &World, before: &[Value], after: &[Value]) -> Result<()> {
    let times = |pods: &[Value], at: &str| -> Result<Vec<String>> {
        let mut times = Vec::new();
        for pod in pods {
            let rows = ledger(world, name(pod))?;
            let time = rows.first().and_then(|row| row.pointer(at)?.as_str().map(str::to_owned));
            times.push(time.with_context(|| format!("no {at} of {}: {rows:?}", name(pod)))?);
        }
        times.sort();
        Ok(times)
    };
    let (ends, starts) = (times(before, "/end/finishedAt")?, times(after, "/startedAt")?);
    let fits = starts.iter().zip(&ends).all(|(start, end)| start < end);
    ensure!(
        fits && starts.len() == 2 && ends.len() == 2,
        "new ones started {starts:?}, old ones ended {ends:?}"
    );
    Ok(())
}

pub(super) fn stateful(world: &World) -> Result<()> {
    let claims = "  serviceName: db\n  replicas: 2\n  volumeClaimTemplates:\n    - metadata: { name: data }\n      spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Mi } } }\n";
    let mount = ", volumeMounts: [{ name: data, mountPath: /data }]";
    let text = |word: &str| {
        let script = format!("echo {word} $$(hostname) >> /data/log; cat /data/log; exec /work sleep");
        manifest("StatefulSet", "db", claims, &script, mount)
    };
    let db = Maker::apply(world, "statefulset", APPS, "db", &text("first"))?;
    db.await_status("two are ready", |status| status["readyReplicas"] == 2)?;
    let before = db.pods()?;
    let names: Vec<&str> = before.iter().map(name).collect();
    ensure!(names == ["db-0", "db-1"], "{names:?}");
    world.carob_ok(&["delete", "pod", "db-0"])?;
    db.await_status("two are ready again", |status| status["readyReplicas"] == 2)?;
    await_log(world, "db-0", "first db-0\nfirst db-0\n")?;
    db.change(&text("second"))?;
    db.await_status("both are new", |status| status["updatedReplicas"] == 2 && status["readyReplicas"] == 2)?;
    await_log(world, "db-0", "first db-0\nfirst db-0\nsecond db-0\n")?;
    await_log(world, "db-1", "first db-1\nsecond db-1\n")?;
    let last = |pod: &str| -> Result<(String, String)> {
        let rows = ledger(world, pod)?;
        let ended = rows.iter().rev().find(|row| row["end"].is_object());
        let started = rows.iter().rev().find(|row| row["end"].is_null());
        let text = |row: Option<&Value>, at: &str| {
            row.and_then(|row| row.pointer(at)).unwrap_or(&Value::Null).to_string()
        };
        Ok((text(ended, "/end/finishedAt"), text(started, "/startedAt")))
    };
    let ((ended_0, _), (_, started_1)) = (last("db-0")?, last("db-1")?);
    ensure!(started_1 < ended_0, "db-0 went ({ended_0}) before db-1 had come back ({started_1})");
    world.carob_ok(&["delete", "sts", "db"])?;
    ensure!(world.ask("GET", &format!("{PODS}/db-0"), None)?.status == 404, "db-0 is still there");
    for claim in ["data-db-0", "data-db-1"] {
        world.carob_ok(&["delete", "pvc", claim])?;
    }
    Ok(())
}

fn await_log(world: &World, pod: &str, expected: &str) -> Result<()> {
    world.wait_until(&format!("{pod} says what its claim holds"), PATIENCE, || {
        let said = world.carob_ok(&["logs", pod])?;
        ensure!(said == expected, "{said:?}");
        Ok(())
    })
}

pub(super) fn daemon(world: &World) -> Result<()> {
    let text = |script: &str| manifest("DaemonSet", "agent", "", script, "");
    let set = Maker::apply(world, "daemonset", APPS, "agent", &text("exec /work sleep"))?;
    set.await_status("it is ready", |status| status["numberReady"] == 1)?;
    let old = set.pods()?.remove(0);
    set.change(&text("echo newer; exec /work sleep"))?;
    let renewed = |status: &Value| status["updatedNumberScheduled"] == 1 && status["numberReady"] == 1;
    set.await_status("it is renewed", renewed)?;
    let new = set.pods()?.remove(0);
    let (old, new) = (ledger(world, name(&old))?, ledger(world, name(&new))?);
    let (ended, started) = (old[0]["end"]["finishedAt"].as_str(), new[0]["startedAt"].as_str());
    ensure!(ended.is_some() && started.is_some() && ended <= started, "ended {ended:?}, started {started:?}");
    Ok(())
}

pub(super) fn scaled(world: &World) -> Result<()> {
    let text = format!(
        "apiVersion: v1\nkind: ReplicationController\nmetadata: {{ name: many }}\nspec:\n  replicas: 3\n{}",
        template("  ", "Always", "exec /work sleep", "")
    );
    let many = Maker::apply(world, "replicationcontroller", "/api/v1", "many", &text)?;
    many.await_status("three are ready", |status| status["readyReplicas"] == 3)?;
    for (replicas, generation) in [(1, 2), (2, 3)] {
        let patch = json!({"spec": {"replicas": replicas}});
        world.ask("PATCH", &many.path, Some(&patch))?.body()?;
        let fits = |status: &Value| status["readyReplicas"] == replicas && status["replicas"] == replicas;
        let object = many.await_status("it is scaled", fits)?;
        ensure!(object["metadata"]["generation"] == generation, "{object}");
    }
    let table = world.carob_ok(&["get", "rc"])?;
    ensure!(table.contains("many   2         2         2"), "{table}");
    Ok(())
}

pub(super) fn refused(world: &World) -> Result<()> {
    ready(world)?;
    let good = manifest("Deployment", "bad", "", "exec /work sleep", "");
    let rows = [
        (
            good.replace("labels: { app: a }", "labels: { app: b }"),
            "`selector` does not match template `labels`",
        ),
        (good.replace("restartPolicy: Always", "restartPolicy: Never"), "spec.template.spec.restartPolicy"),
        (
            good.replace("apps/v1", "extensions/v1beta1"),
            "1:13: apiVersion: \"extensions/v1beta1\" is not accepted; apps/v1 is needed",
        ),
        (good.replace("kind: Deployment", "kind: CronJob"), "kind: \"CronJob\" is not supported yet"),
        (good.replace("image: \"carob-work:1\"", "imge: x"), "did you mean \"image\"?"),
        (
            good.replace("spec:\n  selector", "spec:\n  replicas: -1\n  selector"),
            "spec.replicas: -1 is negative",
        ),
        (
            good.replace("spec:\n  selector", "spec:\n  paused: true\n  selector"),
            "spec.paused: true is not supported yet",
        ),
    ];
    for (text, words) in rows {
        let said = apply(world, "bad", &text)?;
        ensure!(said.code == Some(1) && said.stderr.contains(words), "{words:?} wanted, said: {said:?}");
    }
    ensure!(
        world.ask("GET", &format!("{APPS}/namespaces/default/deployments/bad"), None)?.status == 404,
        "it is there"
    );
    ensure!(
        world.ask("GET", "/api/v1/namespaces/default/deployments", None)?.status == 404,
        "a wrong group is served"
    );
    Ok(())
}
