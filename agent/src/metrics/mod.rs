//! The metrics pages: the picture in Kubernetes' metric names and our own, and what the kernel counts of its pods in
//! cAdvisor's. Counts nothing itself.

mod cadvisor;
mod counting;
mod family;
mod ksm;
#[cfg(test)]
mod monitoring;
mod openmetrics;
mod own;
mod probes;
mod programs;
mod stages;
mod summary;
#[cfg(test)]
mod tests;
mod text;
mod volumes;

pub(crate) use self::cadvisor::Places;
use self::family::Family;
pub(crate) use self::summary::{Moment, Readings, Use, Used, summary, used};
use crate::picture::Picture;

/// How the page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What a client wants that sent this `Accept` header: OpenMetrics only if it is named and liked no less.
    pub(crate) fn of_accept(accept: Option<&str>) -> Self {
        let (mut text, mut openmetrics) = (0.0_f32, 0.0_f32);
        for range in accept.unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut weight, mut version) = (1.0, "");
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim().to_ascii_lowercase().as_str() {
                    "q" => weight = value.trim().parse().unwrap_or(0.0),
                    "version" => version = value.trim().trim_matches('"'),
                    _ => {}
                }
            }
            match (kind.as_str(), version) {
                ("application/openmetrics-text", "" | "1.0.0") => openmetrics = openmetrics.max(weight),
                ("text/plain" | "text/*" | "*/*", "" | "0.0.4") => text = text.max(weight),
                _ => {}
            }
        }
        if openmetrics > 0.0 && openmetrics >= text { Self::OpenMetrics } else { Self::Text }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The page of one moment.
pub(crate) fn page(picture: &Picture, format: Format) -> String {
    let mut families = ksm::families(picture);
    families.extend(own::families(picture));
    families.extend(volumes::families(picture));
    families.extend(stages::families(picture));
    families.extend(programs::families(picture));
    families.extend(counting::families(picture));
    written(families, format)
}

/// The page of what pods and containers use.
pub(crate) fn usage_page(picture: &Picture, places: Places<'_>, format: Format) -> String {
    written(cadvisor::families(picture, places), format)
}

/// The page of what came of probes.
pub(crate) fn probes_page(picture: &Picture, format: Format) -> String {
    written(probes::families(picture), format)
}

/// All that have a series.
fn written(mut families: Vec<Family>, format: Format) -> String {
    families.retain(|family| !family.series.is_empty());
    match format {
        Format::Text => text::encode(&families),
        Format::OpenMetrics => openmetrics::encode(families),
    }
}
