//! Media types as HTTP headers have them. Pure.

use axum::http::{HeaderMap, header::ACCEPT};

/// What the client takes; everything if it does not say.
pub(super) fn accept(headers: &HeaderMap) -> &str {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accept.trim().is_empty() { "*/*" } else { accept }
}

/// `b` of `a;name=b`.
pub(super) fn parameter<'a>(media: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = media.split(';').skip(1).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// Whether JSON will do.
pub(super) fn is_json(media: &str) -> bool {
    let name = media.split(';').next().unwrap_or_default().trim();
    ["application/json", "application/*", "*/*"].contains(&name)
}
