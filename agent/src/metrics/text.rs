//! Prometheus' text format 0.0.4, which prometheus-client does not write.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use super::family::{Family, Kind, Label, Value};
use crate::picture::counted::Spread;

pub(super) fn encode(families: &[Family]) -> String {
    let mut page = String::new();
    for family in families {
        let (suffix, kind) = match family.kind {
            Kind::Gauge => ("", "gauge"),
            Kind::Counter => ("_total", "counter"),
            Kind::Info => ("_info", "gauge"),
            Kind::Histogram => ("", "histogram"),
        };
        let (name, help) = (family.name, family.help);
        page += &format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
        for series in &family.series {
            match &series.value {
                Value::Number(number) => {
                    page += &format!("{name}{suffix}{} {number}\n", labels(&series.labels));
                }
                Value::Spread(spread) => page += &spread_lines(name, &series.labels, spread),
            }
        }
    }
    page
}

/// A bucket says how many are no larger than its bound: also those of all buckets before it.
fn spread_lines(name: &str, own: &[Label], spread: &Spread) -> String {
    let (mut lines, mut so_far) = (String::new(), 0);
    for (bound, count) in spread.buckets() {
        so_far += count;
        let bound = if bound.is_infinite() { "+Inf".to_owned() } else { bound.to_string() };
        let labels = labels(&[own, &[("le", bound)]].concat());
        lines += &format!("{name}_bucket{labels} {so_far}\n");
    }
    let (labels, sum) = (labels(own), spread.sum());
    lines + &format!("{name}_sum{labels} {sum}\n{name}_count{labels} {so_far}\n")
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
