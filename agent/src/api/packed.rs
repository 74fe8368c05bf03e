//! A metrics page as it goes over the wire: in the form that is asked for, packed for who takes it packed.

use std::io::{self, Write};

use axum::{
    http::{
        HeaderMap,
        header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY},
    },
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};

use crate::metrics::Format;

pub(super) fn page(headers: &HeaderMap, text: impl FnOnce(Format) -> String) -> Response {
    let said = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let format = Format::of_accept(said(ACCEPT));
    let text = text(format);
    let about = [(CONTENT_TYPE, format.content_type()), (VARY, "Accept, Accept-Encoding")];
    let packed = takes_gzip(said(ACCEPT_ENCODING)).then(|| packed(&text)).and_then(Result::ok);
    match packed {
        Some(bytes) => (about, [(CONTENT_ENCODING, "gzip")], bytes).into_response(),
        None => (about, text).into_response(),
    }
}

/// The names of a page repeat so much that the quickest way will do.
fn packed(text: &str) -> io::Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(text.as_bytes())?;
    packer.finish()
}

/// Whether `Accept-Encoding` has gzip in it, by its name or as whatever is not named.
fn takes_gzip(accept: Option<&str>) -> bool {
    let (mut named, mut any) = (None, false);
    for coding in accept.unwrap_or_default().split(',') {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let taken = weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0));
        match name.as_str() {
            "gzip" | "x-gzip" => named = Some(taken),
            "*" => any = taken,
            _ => {}
        }
    }
    named.unwrap_or(any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_who_names_it_or_takes_all() {
        let rows = [
            (None, false),
            (Some(""), false),
            (Some("identity"), false),
            (Some("deflate, br"), false),
            (Some("gzip"), true),
            (Some("GZIP"), true),
            (Some("x-gzip"), true),
            (Some("br;q=1.0, gzip;q=0.8, *;q=0.1"), true),
            (Some("gzip;q=0"), false),
            (Some("gzip; q=0.0"), false),
            (Some("gzip;q=nonsense"), false),
            (Some("*"), true),
            (Some("*;q=0"), false),
            (Some("gzip;q=0, *"), false),
            (Some("*;q=0, gzip"), true),
        ];
        for (accept, expected) in rows {
            assert_eq!(takes_gzip(accept), expected, "{accept:?}");
        }
    }
}
