//! `$(NAME)` in a container's words, by Kubernetes' rules.

use std::collections::BTreeMap;

/// `$(NAME)` becomes the value if the name is known and stays as it is otherwise; `$$` is one `$` and protects what follows.
pub(crate) fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let unknown = |name: &str| Ok::<_, std::convert::Infallible>(format!("$({name})"));
    match expand_or(text, known, unknown) {
        Ok(expanded) => expanded,
        Err(never) => match never {},
    }
}

/// The same, but a name that is not known is an error: that name.
pub(crate) fn expand_known(text: &str, known: &BTreeMap<String, String>) -> Result<String, String> {
    expand_or(text, known, |name| Err(name.to_owned()))
}

fn expand_or<E>(
    text: &str,
    known: &BTreeMap<String, String>,
    unknown: impl Fn(&str) -> Result<String, E>,
) -> Result<String, E> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let reference = rest.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        match (rest.strip_prefix('$'), reference) {
            (Some(after), _) => {
                out.push('$');
                rest = after;
            }
            (None, Some((name, after))) => {
                match known.get(name) {
                    Some(value) => out.push_str(value),
                    None => out.push_str(&unknown(name)?),
                }
                rest = after;
            }
            (None, None) => out.push('$'),
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_expand_as_kubernetes_says() {
        let known = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("E".to_owned(), String::new())]);
        let rows = [
            ("", ""),
            ("plain", "plain"),
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$(E)", ""),
            ("$(B)", "$(B)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$A", "$A"),
            ("$(A", "$(A"),
            ("100$", "100$"),
            ("$()", "$()"),
        ];
        for (text, expected) in rows {
            assert_eq!(expand(text, &known), expected, "{text:?}");
        }
        assert_eq!(expand_known("a/$(A)/$$(B)", &known), Ok("a/1/$(B)".to_owned()));
        assert_eq!(expand_known("a/$(B)", &known), Err("B".to_owned()));
    }
}
