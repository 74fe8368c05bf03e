//! Prometheus' text format 0.0.4, which prometheus-client does not write.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use super::family::{Family, Kind, Label};

pub(super) fn encode(families: &[Family]) -> String {
    let mut page = String::new();
    for family in families {
        let (suffix, kind) = match family.kind {
            Kind::Gauge => ("", "gauge"),
            Kind::Counter => ("_total", "counter"),
            Kind::Info => ("_info", "gauge"),
        };
        let (name, help) = (family.name, family.help);
        page += &format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
        for series in &family.series {
            page += &format!("{name}{suffix}{} {}\n", labels(&series.labels), series.value);
        }
    }
    page
}

fn labels(labels: &[Label]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let pairs: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}
