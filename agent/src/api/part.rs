//! Parts of a pod that have a path of their own: the pod is read there as everywhere, and written with other rules.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::HeaderMap,
    routing::{MethodRouter, get},
};

use super::{
    Api,
    change::{self, Part, Target},
    objects::{self, Options, WriteQuery},
    resource::PODS,
    table::Form,
};

/// `GET`, `PUT` and `PATCH` of `…/pods/{name}/resize` and the like.
pub(super) fn routes(part: Part) -> MethodRouter<Arc<Api>> {
    let replace = async move |State(api): State<Arc<Api>>,
                              Path((namespace, name)): Path<(String, String)>,
                              query: Options<WriteQuery>,
                              headers: HeaderMap,
                              body: Result<Bytes, BytesRejection>| {
        let target = Target { resource: PODS, namespace: &namespace, name: &name, part };
        change::put(&api, target, query, &headers, body).await
    };
    let patch = async move |State(api): State<Arc<Api>>,
                            Path((namespace, name)): Path<(String, String)>,
                            query: Options<WriteQuery>,
                            headers: HeaderMap,
                            body: Result<Bytes, BytesRejection>| {
        let target = Target { resource: PODS, namespace: &namespace, name: &name, part };
        change::patch_with(&api, target, query, &headers, body).await
    };
    get(read).put(replace).patch(patch)
}

async fn read(
    state: State<Arc<Api>>,
    Path((namespace, name)): Path<(String, String)>,
    form: Form,
) -> objects::Answer {
    objects::read(state, Path((namespace, PODS.plural.to_owned(), name)), form).await
}
