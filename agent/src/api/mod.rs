//! The HTTP server: a subset of the Kubernetes API on the unix socket, and metrics.
//!
//! It writes objects, nothing else. Status comes from the picture, history from the journal; what an object asks for is
//! done by the loop, which sees it in the store.

mod about;
mod admission;
mod cache;
mod change;
mod claim;
mod cluster;
mod conditions;
mod date;
mod discovery;
mod door;
mod events;
mod exec;
mod images;
mod ledger;
mod list;
mod logs;
mod media;
mod namespaces;
mod objects;
mod openapi;
mod packed;
mod part;
mod patch;
mod piecewise;
mod plain;
mod pod;
mod protobuf;
mod pull;
mod refusal;
mod resize;
mod resource;
mod scale;
mod selector;
mod table;
mod update;
mod validation;
mod watch;
mod workload;

use std::{io, pin::Pin, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef, Path, Request, State},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch::Receiver,
};

pub(crate) use self::cache::WatchCache;
pub(crate) use self::door::Door;
pub(crate) use self::exec::{Ends, ExecDoor, ExecFault, ExecRequest, Hand};
pub(crate) use self::images::{
    Amount, ImageDoor, ImageFault, ImageRequest, ImageRow, Outgoing, PruneScope, RoomRow, VerifiedRow,
};
pub(crate) use self::pull::PullWord;
use self::{
    about::{Pictures, Usage},
    change::Part,
    cluster::Shown,
    refusal::Refusal,
    resource::Scope,
    table::Form,
};
use crate::{
    config::Config,
    metrics,
    picture::{Picture, refusals::Refusals},
    pod::Stamp,
    store::{Journal, Objects},
};

/// No object is larger: etcd's limit, and so Kubernetes'.
const OBJECT_LIMIT: usize = 3 << 20;

/// What the server answers from.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) objects: Objects,
    /// Read only.
    pub(crate) journal: Journal,
    pub(crate) picture: Receiver<Arc<Picture>>,
    pub(crate) images: ImageDoor,
    pub(crate) exec: ExecDoor,
    pub(crate) config: Arc<Config>,
    /// The wall clock: dates of objects, `sinceSeconds`.
    pub(crate) clock: fn() -> jiff::Timestamp,
    /// The clock that nobody sets: rates.
    pub(crate) now: fn() -> Stamp,
    /// Waits a while, on that clock.
    pub(crate) pause: fn(Duration) -> Pause,
    pub(crate) readings: metrics::Readings,
    pub(crate) cache: Arc<WatchCache>,
    /// Where certificates for clients come from, if the network is served.
    pub(crate) door: Option<Arc<Door>>,
}

impl Api {
    fn refusals(&self) -> Arc<Refusals> {
        self.picture.borrow().refusals.clone()
    }
}

/// A while that passes.
pub(crate) type Pause = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// Serves the whole API to root and to the agent's own user. Ends only with the runtime.
pub(crate) async fn serve_socket(api: Api, listener: UnixListener) -> io::Result<()> {
    let refusals = api.refusals();
    door::serve_socket(router(api), refusals, listener).await
}

/// Serves the API to whoever has a certificate of this box's, as far as that goes. Ends only with the runtime.
pub(crate) async fn serve_network(api: Api, door: Arc<Door>, listener: TcpListener) {
    let refusals = api.refusals();
    door::serve_network(router(api), refusals, door, listener).await;
}

/// Serves metrics and nothing that could change anything, to whoever reaches the port.
pub(crate) async fn serve_metrics(
    picture: Receiver<Arc<Picture>>,
    config: Arc<Config>,
    listener: TcpListener,
) -> io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(about::metrics))
        .route("/metrics/cadvisor", get(about::usage))
        .route("/metrics/probes", get(about::probes))
        .route("/healthz", get(about::healthy))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .with_state(Usage { picture, config });
    axum::serve(listener, router).await
}

fn router(api: Api) -> Router {
    let api = Arc::new(api);
    Router::new()
        .merge(about_routes())
        .merge(object_routes())
        .merge(namespaces::routes())
        .merge(shown_routes())
        .merge(own_routes())
        .merge(door::routes())
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .with_state(Arc::clone(&api))
        .layer(middleware::from_fn_with_state(api, tell_of_changes))
}

/// Before a change is answered: whoever changes an object twice is seen to do so.
async fn tell_of_changes(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let path = (!request.method().is_safe()).then(|| request.uri().path().to_owned());
    let response = next.run(request).await;
    if let Some(path) = path {
        WatchCache::tell(&api, &path).await;
    }
    response
}

fn about_routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/version", get(about::version))
        .route("/healthz", get(about::healthy))
        .route("/livez", get(about::healthy))
        .route("/readyz", get(about::ready))
        .route("/metrics", get(about::metrics))
        .route("/metrics/cadvisor", get(about::usage))
        .route("/metrics/probes", get(about::probes))
        .route("/stats/summary", get(about::summary))
        .route("/api", get(discovery::versions))
        .route("/apis", get(discovery::groups))
        .route("/apis/{group}", get(discovery::group))
        .route("/api/v1", get(discovery::core))
        .route("/apis/{group}/{version}", get(discovery::resources))
        .route("/openapi/v2", get(openapi::second))
        .route("/openapi/v3", get(openapi::index))
        .route("/openapi/v3/{*path}", get(openapi::third))
}

fn object_routes() -> Router<Arc<Api>> {
    let roots = ["/api/v1", "/apis/apps/v1", "/apis/batch/v1"];
    let objects = roots.into_iter().fold(Router::new(), |router, root| {
        let one = get(objects::read).put(change::replace).patch(change::patch).delete(objects::delete);
        let list = get(list::list_namespace).post(objects::create).delete(objects::delete_collection);
        let within = Router::new()
            .route("/{plural}", get(list::list_all))
            .route("/namespaces/{namespace}/{plural}", list)
            .route("/namespaces/{namespace}/{plural}/{name}", one)
            .route("/namespaces/{namespace}/{plural}/{name}/scale", scale::routes())
            .layer(middleware::from_fn(move |request, next| resource::belongs(root, request, next)));
        router.nest(root, within)
    });
    objects
        .route("/api/v1/namespaces/{namespace}/pods/{name}/status", part::routes(Part::Status))
        .route("/api/v1/namespaces/{namespace}/pods/{name}/log", get(logs::log))
        .route("/api/v1/namespaces/{namespace}/pods/{name}/resize", part::routes(Part::Resources))
        .route(
            "/api/v1/namespaces/{namespace}/pods/{name}/ephemeralcontainers",
            part::routes(Part::Ephemeral),
        )
        .route("/api/v1/namespaces/{namespace}/pods/{name}/exec", get(exec::exec).post(exec::exec))
        .route("/api/v1/namespaces/{namespace}/pods/{name}/attach", get(exec::attach).post(exec::attach))
        .route(
            "/api/v1/namespaces/{namespace}/pods/{name}/portforward",
            get(exec::forward).post(exec::forward),
        )
        .layer(DefaultBodyLimit::max(OBJECT_LIMIT))
}

/// Of objects that nobody wrote.
fn shown_routes() -> Router<Arc<Api>> {
    Shown::ALL.into_iter().fold(Router::new(), |router, shown| {
        let list = async move |State(api): State<Arc<Api>>, query, form: Form| {
            cluster::list(api, shown, None, query, form).await
        };
        let listed = shown.listed();
        let (root, plural) = (listed.root(), listed.plural);
        let router = router.route(&format!("{root}/{plural}"), get(list));
        match listed.scope {
            Scope::Cluster => {
                let one = async move |State(api): State<Arc<Api>>, Path(name): Path<String>, form: Form| {
                    cluster::read(&api, shown, None, &name, form).await
                };
                router.route(&format!("{root}/{plural}/{{name}}"), get(one))
            }
            Scope::Namespaced => {
                let within = format!("{root}/namespaces/{{namespace}}/{plural}");
                let list =
                    async move |State(api): State<Arc<Api>>, Path(space): Path<String>, query, form: Form| {
                        cluster::list(api, shown, Some(space), query, form).await
                    };
                let one = async move |State(api): State<Arc<Api>>,
                                      Path((space, name)): Path<(String, String)>,
                                      form: Form| {
                    cluster::read(&api, shown, Some(&space), &name, form).await
                };
                router.route(&within, get(list)).route(&format!("{within}/{{name}}"), get(one))
            }
        }
    })
}

fn own_routes() -> Router<Arc<Api>> {
    let images = get(images::list).post(images::load).delete(images::remove);
    Router::new()
        .route("/carob/v1/ledger", get(ledger::rows))
        .route("/carob/v1/gone/{plural}/{namespace}/{name}", get(objects::gone))
        .route("/carob/v1/gone/{plural}/{name}", get(objects::gone_of_none))
        .route("/carob/v1/exec/{namespace}/{name}", post(exec::collect))
        .route("/carob/v1/images/pull", post(pull::pull))
        .route("/carob/v1/images/verify", get(images::verify))
        .route("/carob/v1/images/prune", post(images::prune))
        .route("/carob/v1/images/df", get(images::room))
        .route("/carob/v1/images/export", get(images::export))
        .route("/carob/v1/images", images.layer(DefaultBodyLimit::disable()))
}

impl FromRef<Arc<Api>> for Pictures {
    fn from_ref(api: &Arc<Api>) -> Self {
        Self(api.picture.clone())
    }
}

impl FromRef<Arc<Api>> for Usage {
    fn from_ref(api: &Arc<Api>) -> Self {
        Self { picture: api.picture.clone(), config: api.config.clone() }
    }
}

impl FromRef<Usage> for Pictures {
    fn from_ref(usage: &Usage) -> Self {
        Self(usage.picture.clone())
    }
}

async fn unknown_path() -> Refusal {
    Refusal::unknown_path()
}

async fn unknown_method() -> Refusal {
    Refusal::method_not_allowed("the server does not allow this method on the requested resource")
}

#[cfg(test)]
mod tests;
