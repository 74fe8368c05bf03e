//! kube-rs against an agent: `carob-kube PORT KUBECONFIG`. What it says is compared with what it should say.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, pin_mut};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{
        AttachParams, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, WatchEvent,
        WatchParams,
    },
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{
        WatchStreamExt, reflector,
        wait::{await_condition, conditions},
        watcher,
    },
};
use serde_json::json;
use tokio::{io::AsyncReadExt, time::timeout};

/// The agent runs in an emulated machine.
const PATIENCE: Duration = Duration::from_secs(90);
const POD: &str = "ferris";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let [_, port, kubeconfig] =
        std::env::args().collect::<Vec<_>>().try_into().ok().context("PORT KUBECONFIG")?;
    let client = connected(&port, &kubeconfig).await?;
    println!("version {}", client.apiserver_version().await?.major);
    timeout(PATIENCE * 3, pod(&client)).await.context("the pod takes too long")??;
    for streams in [false, true] {
        timeout(PATIENCE, informer(&client, streams)).await.context("the informer takes too long")??;
    }
    Ok(())
}

async fn connected(port: &str, kubeconfig: &str) -> Result<Client> {
    let mut kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    for named in &mut kubeconfig.clusters {
        let cluster = named.cluster.as_mut().context("a cluster without an address")?;
        cluster.server = Some(format!("https://127.0.0.1:{port}"));
    }
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn object() -> Result<Pod> {
    let script = "echo hello; while true; do echo answer | nc -l -p 8080; done";
    Ok(serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD, "labels": {"app": POD}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [{
            "name": "main", "image": "carob-work:1", "imagePullPolicy": "Never", "command": ["sh", "-c", script]}]},
    }))?)
}

/// Its whole life.
async fn pod(client: &Client) -> Result<()> {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let before = pods
        .list(&ListParams::default())
        .await?
        .metadata
        .resource_version
        .context("a list without a version")?;
    println!("created {}", pods.create(&PostParams::default(), &object()?).await?.name_any());
    {
        let changes = pods.watch(&WatchParams::default().labels("app=ferris"), &before).await?;
        pin_mut!(changes);
        let first = changes.try_next().await?;
        println!("added {}", matches!(first, Some(WatchEvent::Added(_))));
    }
    await_condition(pods.clone(), POD, conditions::is_pod_running()).await?;
    for (patch, key) in [
        (Patch::Merge(json!({"metadata": {"labels": {"merged": "1"}}})), "merged"),
        (Patch::Strategic(json!({"metadata": {"labels": {"strategic": "1"}}})), "strategic"),
    ] {
        let patched = pods.patch(POD, &PatchParams::default(), &patch).await?;
        println!("{key} {}", patched.labels().contains_key(key));
    }
    println!("logs {}", pods.logs(POD, &LogParams::default()).await?.trim());
    exec(&pods).await?;
    forward(&pods).await?;
    let uid = pods.get(POD).await?.uid().context("a pod without a uid")?;
    pods.delete(POD, &DeleteParams::default()).await?;
    await_condition(pods.clone(), POD, conditions::is_deleted(&uid)).await?;
    println!("gone {}", pods.get_opt(POD).await?.is_none());
    Ok(())
}

async fn exec(pods: &Api<Pod>) -> Result<()> {
    let words = ["sh", "-c", "echo inside; exit 3"];
    let mut command = pods.exec(POD, words, &AttachParams::default().stderr(false)).await?;
    let ended = command.take_status().context("no status")?;
    let mut text = String::new();
    command.stdout().context("no stdout")?.read_to_string(&mut text).await?;
    let status = ended.await.context("it ends without a status")?;
    println!("exec {} {}", text.trim(), status.reason.unwrap_or_default());
    Ok(())
}

async fn forward(pods: &Api<Pod>) -> Result<()> {
    let mut ports = pods.portforward(POD, &[8080]).await?;
    let mut way = ports.take_stream(8080).context("no way to the port")?;
    let mut text = [0; 6];
    way.read_exact(&mut text).await?;
    println!("port {}", String::from_utf8_lossy(&text));
    Ok(())
}

/// A reflector whose watches end after two seconds: it holds what is there, whatever came meanwhile.
async fn informer(client: &Client, streams: bool) -> Result<()> {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let (reader, writer) = reflector::store();
    let config = watcher::Config::default().labels("kept=yes").timeout(2);
    let config = if streams { config.streaming_lists() } else { config };
    let events = reflector(writer, watcher(maps.clone(), config)).touched_objects();
    tokio::spawn(events.for_each(async |event| {
        if let Err(fault) = event {
            println!("fault {fault}");
        }
    }));
    create(&maps, "first").await?;
    reader.wait_until_ready().await?;
    let holds = |names: &'static [&'static str]| {
        let reader = reader.clone();
        async move {
            loop {
                let held: BTreeSet<String> = reader.state().iter().map(|map| map.name_any()).collect();
                if held.iter().eq(names) {
                    return println!("holds {names:?}");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    holds(&["first"]).await;
    // Its watch has ended meanwhile, and has gone on.
    tokio::time::sleep(Duration::from_secs(5)).await;
    create(&maps, "second").await?;
    holds(&["first", "second"]).await;
    for name in ["first", "second"] {
        ensure!(maps.delete(name, &DeleteParams::default()).await?.is_right(), "{name} is not gone at once");
    }
    holds(&[]).await;
    Ok(())
}

async fn create(maps: &Api<ConfigMap>, name: &str) -> Result<()> {
    let map = json!({"metadata": {"name": name, "labels": {"kept": "yes"}}});
    maps.create(&PostParams::default(), &serde_json::from_value(map)?).await?;
    Ok(())
}
