//! A server on a real socket over a real store, with a picture made by hand.
#![expect(clippy::disallowed_methods, reason = "makes the server's directory and log files")]

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, UnixListener, UnixStream},
    sync::{mpsc, watch},
};

use crate::{
    api::{
        Api, Door, ExecDoor, ExecRequest, ImageDoor, ImageRequest, WatchCache, serve_network, serve_socket,
    },
    config::Config,
    manifest,
    metrics::Readings,
    picture::{Health, Picture, PodPicture},
    pod::{
        AttemptId, CgroupId, Pid, PodUid, Role, Stamp,
        status::{
            BootId, Condition, ContainerState, ContainerStatus, Ended, Live, Phase, PodStatus, Readiness,
            Truth,
        },
        verdict::{Cause, Source, Verdict},
    },
    store::{Kind, Store},
};

/// When this boot began, by the wall clock: 2026-11-23T10:00:00Z.
const BOOT: i64 = 1_795_428_000;
pub(in crate::api) const SECOND: u64 = 1_000_000_000;

pub(in crate::api) fn at(seconds: u64) -> Stamp {
    Stamp(seconds * SECOND)
}

pub(in crate::api) fn boot() -> BootId {
    BootId("boot-1".to_owned())
}

/// A picture without pods.
pub(in crate::api) fn picture() -> Picture {
    Picture {
        address: Ipv4Addr::new(192, 0, 2, 1).into(),
        node: "box".to_owned(),
        capacity: crate::picture::Capacity::default(),
        machine: Arc::default(),
        boot: boot(),
        offsets: BTreeMap::from([(boot(), BOOT * 1_000_000_000)]),
        pods: BTreeMap::new(),
        totals: Vec::new(),
        health: Health::default(),
        claims: Arc::default(),
        stages: Arc::default(),
        delays: Arc::default(),
        meter: crate::picture::meter::Meter::default(),
        refusals: Arc::default(),
    }
}

pub(in crate::api) fn object(name: &str, containers: &[&str]) -> Value {
    let container = |name: &&str| json!({"name": name, "image": "busybox:1"});
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}")},
        "spec": {"containers": containers.iter().map(container).collect::<Vec<_>>()},
    })
}

/// The picture of an object whose containers are in these states.
pub(in crate::api) fn pod_picture(object: &Value, containers: Vec<ContainerStatus>) -> PodPicture {
    let uid = PodUid(object["metadata"]["uid"].as_str().unwrap().to_owned());
    PodPicture {
        address: Some(crate::pod::network::Address {
            v4: Ipv4Addr::new(10, 182, 0, 7),
            v6: Some(std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 7)),
        }),
        spec: Arc::new(manifest::spec(object, uid).unwrap()),
        object: Arc::new(object.clone()),
        status: PodStatus {
            phase: Phase::Running,
            reason: None,
            message: None,
            conditions: vec![Condition {
                kind: "Ready",
                holds: Truth::False,
                reason: Some("ContainersNotReady"),
                message: None,
            }],
            start: Some(at(1)),
            containers,
        },
        turned: BTreeMap::from([("Ready", at(2))]),
        tallies: Vec::new(),
        deleting: None,
        probings: Arc::default(),
    }
}

pub(in crate::api) fn status(name: &str, state: ContainerState, last: Option<Ended>) -> ContainerStatus {
    let ready =
        if matches!(state, ContainerState::Running(_)) { Readiness::Ready } else { Readiness::NotReady };
    let restarts = u32::from(last.is_some());
    ContainerStatus {
        name: name.to_owned(),
        role: Role::Main,
        image: "busybox:1".to_owned(),
        image_id: None,
        state,
        last,
        restarts,
        started: ready == Readiness::Ready,
        ready,
    }
}

pub(in crate::api) fn attempt(pod: &str, container: &str, attempt: u32) -> AttemptId {
    AttemptId { uid: PodUid(format!("uid-{pod}")), container: container.to_owned(), attempt }
}

pub(in crate::api) fn running(id: AttemptId) -> ContainerState {
    ContainerState::Running(Live { id, pid: Pid(7), cgroup: CgroupId(8), started: at(10) })
}

pub(in crate::api) fn ended(id: AttemptId, code: Option<i32>, signal: Option<i32>, cause: Cause) -> Ended {
    let verdict = Verdict {
        code,
        signal,
        core: false,
        cause,
        asked: None,
        peak_memory: Some(4096),
        cpu_ns: Some(1_500_000),
        finished: at(20),
        source: Source::Kernel,
    };
    Ended { id, boot: boot(), started: Some(at(10)), verdict, said: None, flight: None }
}

fn clock() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

/// The server and what stands around it.
pub(in crate::api) struct Scene {
    pub(in crate::api) dir: PathBuf,
    pub(in crate::api) store: Store,
    pub(in crate::api) picture: watch::Sender<Arc<Picture>>,
    pub(in crate::api) images: mpsc::Receiver<ImageRequest>,
    pub(in crate::api) exec: mpsc::Receiver<ExecRequest>,
}

impl Scene {
    /// Starts a server in a directory of its own.
    pub(in crate::api) fn new() -> Self {
        Self::prepared(|_| None).0
    }

    /// And one that clients reach over TLS, at that address.
    pub(in crate::api) async fn with_door() -> (Self, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        let open = |config: &Config| Some(Arc::new(Door::new(config, at, picture().address, clock).unwrap()));
        let (scene, api) = Self::prepared(open);
        let door = api.door.clone().unwrap();
        tokio::spawn(serve_network(api, door, listener));
        (scene, at)
    }

    fn prepared(door: impl FnOnce(&Config) -> Option<Arc<Door>>) -> (Self, Api) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("carob-api-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let store = Store::open(&dir.join("carob.db")).unwrap();
        let (sender, receiver) = watch::channel(Arc::new(picture()));
        let (requests, images) = mpsc::channel(1);
        let (commands, exec) = mpsc::channel(1);
        let config = Arc::new(Config::under(&dir));
        let api = Api {
            objects: store.objects(),
            journal: store.journal(),
            picture: receiver,
            images: ImageDoor { requests },
            exec: ExecDoor { requests: commands },
            door: door(&config),
            config,
            clock,
            now: Stamp::default,
            readings: Readings::default(),
            pause: |_| Box::pin(std::future::pending()),
            cache: Arc::new(WatchCache::new(0)),
        };
        let listener = UnixListener::bind(dir.join("sock")).unwrap();
        tokio::spawn(serve_socket(api.clone(), listener));
        (Self { dir, store, picture: sender, images, exec }, api)
    }

    /// Stores an object and shows it in the picture.
    pub(in crate::api) async fn put(&self, object: &Value, containers: Vec<ContainerStatus>) {
        self.store.objects().create(Kind::Pod, object.clone()).await.unwrap();
        self.show(object, containers);
    }

    /// Publishes a picture in which that pod is so.
    pub(in crate::api) fn show(&self, object: &Value, containers: Vec<ContainerStatus>) {
        let pod = Arc::new(pod_picture(object, containers));
        self.picture.send_modify(|picture| {
            let mut new = Picture::clone(picture);
            new.pods.insert(pod.spec.name.clone(), pod);
            *picture = Arc::new(new);
        });
    }

    pub(in crate::api) async fn send(
        &self,
        method: &str,
        path: &str,
        media: &str,
        body: &str,
    ) -> Response<Incoming> {
        self.send_with(("content-type", media), method, path, body).await
    }

    /// With a header.
    pub(in crate::api) async fn send_with(
        &self,
        (name, value): (&str, &str),
        method: &str,
        path: &str,
        body: &str,
    ) -> Response<Incoming> {
        let stream = UnixStream::connect(self.dir.join("sock")).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header(name, value);
        let request = request.body(Full::<Bytes>::from(body.to_owned())).unwrap();
        sender.send_request(request).await.unwrap()
    }

    /// Code and body of an answer in JSON.
    pub(in crate::api) async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let response = self.send(method, path, "application/json", body).await;
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        (code, serde_json::from_slice(&body).unwrap_or(Value::String(text)))
    }

    /// Adds to the log of an attempt of a pod in namespace `default`.
    pub(in crate::api) fn write_log(&self, pod: &str, id: &AttemptId, text: &str) {
        let dir = self.dir.join(format!("var/log/pods/default_{pod}_{}/{}", id.uid, id.container));
        fs::create_dir_all(&dir).unwrap();
        let log = dir.join(format!("{}.log", id.attempt));
        let mut file = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
