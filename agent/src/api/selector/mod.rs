//! Label and field selectors of lists, by the grammar of Kubernetes' `labels.Parse`: equality, sets, existence.

use serde_json::Value;

/// Which objects a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector {
    labels: Vec<Term>,
    fields: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    key: String,
    wants: Wants,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wants {
    OneOf(Vec<String>),
    /// Also true where the key is absent, as in Kubernetes.
    NoneOf(Vec<String>),
    Present,
    Absent,
}

/// Fields that any list can be narrowed by.
pub(super) const FIELDS: &[&str] = &["metadata.name", "metadata.namespace"];

/// The same of pods, as in Kubernetes.
pub(super) const POD_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
];

/// The same of namespaces, as in Kubernetes.
pub(super) const NAMESPACE_FIELDS: &[&str] = &["metadata.name", "status.phase"];

/// The same of secrets, as in Kubernetes.
pub(super) const SECRET_FIELDS: &[&str] = &["metadata.name", "metadata.namespace", "type"];

/// The same of events, as in Kubernetes.
pub(super) const EVENT_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

impl Selector {
    /// Reads `labelSelector` and `fieldSelector`; the latter may be about `known` fields.
    pub(super) fn parse(labels: &str, fields: &str, known: &[&str]) -> Result<Self, String> {
        let labels = terms(labels).into_iter().map(label_term).collect::<Result<_, _>>()?;
        let fields =
            terms(fields).into_iter().map(|term| field_term(term, known)).collect::<Result<_, _>>()?;
        Ok(Self { labels, fields })
    }

    /// Whether an object is to be shown.
    pub(super) fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| object["metadata"]["labels"].get(key).and_then(Value::as_str);
        self.labels.iter().all(|term| term.wants.holds(label(&term.key)))
            && self.fields.iter().all(|term| term.wants.holds(Some(&field(object, &term.key))))
    }
}

/// A field that is not there is empty, as in Kubernetes.
fn field(object: &Value, key: &str) -> String {
    let key = if key == "source" { "source.component" } else { key };
    match object.pointer(&format!("/{}", key.replace('.', "/"))) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(flag)) => flag.to_string(),
        // `hostNetwork` is the only one that is no text.
        _ if key.ends_with("hostNetwork") => "false".to_owned(),
        _ => String::new(),
    }
}

impl Wants {
    fn holds(&self, found: Option<&str>) -> bool {
        match self {
            Self::OneOf(values) => found.is_some_and(|found| values.iter().any(|value| value == found)),
            Self::NoneOf(values) => found.is_none_or(|found| values.iter().all(|value| value != found)),
            Self::Present => found.is_some(),
            Self::Absent => found.is_none(),
        }
    }
}

/// The terms between the commas; those inside of parentheses belong to a set.
fn terms(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let split = text.split(|letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => (),
        }
        letter == ',' && depth == 0
    });
    split.map(str::trim).filter(|term| !term.is_empty()).collect()
}

/// `a=b`, `a==b`, `a!=b`; nothing else.
fn equality(term: &str) -> Option<Term> {
    let (key, value, wants): (_, _, fn(Vec<String>) -> Wants) =
        if let Some((key, value)) = term.split_once("!=") {
            (key, value, Wants::NoneOf)
        } else if let Some((key, value)) = term.split_once("==") {
            (key, value, Wants::OneOf)
        } else {
            let (key, value) = term.split_once('=')?;
            (key, value, Wants::OneOf)
        };
    Some(Term { key: key.trim().to_owned(), wants: wants(vec![value.trim().to_owned()]) })
}

/// `a in (b, c)`, `a notin (b)`; nothing else.
fn set(term: &str) -> Option<Term> {
    let (head, values) = term.strip_suffix(')')?.split_once('(')?;
    let (key, operator) = head.trim_end().split_once(char::is_whitespace)?;
    let values = values.split(',').map(|value| value.trim().to_owned()).collect();
    let wants = match operator.trim() {
        "in" => Wants::OneOf(values),
        "notin" => Wants::NoneOf(values),
        _ => return None,
    };
    Some(Term { key: key.to_owned(), wants })
}

/// `a`, `!a`.
fn existence(term: &str) -> Term {
    match term.strip_prefix('!') {
        Some(key) => Term { key: key.trim().to_owned(), wants: Wants::Absent },
        None => Term { key: term.to_owned(), wants: Wants::Present },
    }
}

fn label_term(term: &str) -> Result<Term, String> {
    let parsed = set(term).or_else(|| equality(term)).unwrap_or_else(|| existence(term));
    if parsed.key.is_empty()
        || parsed.key.contains(|letter: char| letter.is_whitespace() || "()<>!".contains(letter))
    {
        return Err(format!(
            "invalid label selector {term:?}: accepted are key=value, key!=value, key in (a, b), key notin (a, b), key and !key"
        ));
    }
    Ok(parsed)
}

fn field_term(term: &str, known: &[&str]) -> Result<Term, String> {
    let parsed =
        equality(term).ok_or_else(|| format!("invalid field selector {term:?}: key=value is needed"))?;
    if known.contains(&parsed.key.as_str()) {
        return Ok(parsed);
    }
    Err(format!("field label not supported: {:?}; accepted are {}", parsed.key, known.join(", ")))
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_choose_as_kubernetes_does() {
        let object = json!({
            "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web", "tier": "1", "e": ""}},
            "spec": {"nodeName": "box"},
            "status": {"phase": "Running"},
        });
        let rows = [
            ("", "", true),
            ("app=web", "", true),
            ("app==web, tier=1", "", true),
            ("app=web,tier=2", "", false),
            ("app!=db", "", true),
            ("absent!=x", "", true),
            ("app!=web", "", false),
            ("app", "", true),
            ("absent", "", false),
            ("!absent", "", true),
            ("!app", "", false),
            ("e=", "", true),
            ("app in (db, web)", "", true),
            ("app in (db),tier=1", "", false),
            ("tier=1,app in (db,web)", "", true),
            ("app notin (db)", "", true),
            ("app notin (db,web)", "", false),
            ("absent notin (x)", "", true),
            ("absent in (x)", "", false),
            ("e in ()", "", true),
            ("", "metadata.name=web", true),
            ("", "metadata.name=db", false),
            ("", "metadata.name!=db,metadata.namespace=shop", true),
            ("app=web", "metadata.name=db", false),
            ("", "status.phase=Running,spec.nodeName=box", true),
            ("", "status.phase!=Running", false),
            ("", "status.podIP=", true),
            ("", "spec.hostNetwork=false", true),
        ];
        for (labels, fields, expected) in rows {
            let selector = Selector::parse(labels, fields, POD_FIELDS).unwrap();
            assert_eq!(selector.matches(&object), expected, "labels {labels:?} fields {fields:?}");
        }
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        let rows = [
            ("app within (a,b)", "", "label selector"),
            ("app in (a", "", "label selector"),
            ("tier>1", "", "label selector"),
            ("=x", "", "label selector"),
            ("", "status.phase=Running", "field label not supported"),
            ("", "metadata.name", "key=value"),
        ];
        for (labels, fields, expected) in rows {
            let fault = Selector::parse(labels, fields, FIELDS).unwrap_err();
            assert!(fault.contains(expected), "{labels:?} {fields:?}: {fault}");
        }
    }
}
