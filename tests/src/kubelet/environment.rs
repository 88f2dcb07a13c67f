//! What a container's command and environment become.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::{Container, EnvVar, Pod};
use kube::ResourceExt;

/// Where a container finds things that its specification does not say.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    pub(super) pod_address: String,
    pub(super) node_address: String,
    pub(super) service_host: String,
    pub(super) service_port: u16,
}

/// The variables of a container, in the order in which later ones may use earlier ones.
pub(super) fn variables(
    pod: &Pod,
    container: &Container,
    around: &Surroundings,
) -> anyhow::Result<Vec<(String, String)>> {
    let mut all = vec![
        ("PATH".to_owned(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("HOSTNAME".to_owned(), pod.name_any()),
        ("KUBERNETES_SERVICE_HOST".to_owned(), around.service_host.clone()),
        ("KUBERNETES_SERVICE_PORT".to_owned(), around.service_port.to_string()),
    ];
    if container.env_from.as_ref().is_some_and(|from| !from.is_empty()) {
        bail!("envFrom is not supported here");
    }
    for variable in container.env.iter().flatten() {
        let value = value(pod, variable, around).with_context(|| format!("variable {}", variable.name))?;
        let value = expand(&value, &all);
        all.push((variable.name.clone(), value));
    }
    Ok(all)
}

fn value(pod: &Pod, variable: &EnvVar, around: &Surroundings) -> anyhow::Result<String> {
    let Some(source) = &variable.value_from else {
        return Ok(variable.value.clone().unwrap_or_default());
    };
    let path = source.field_ref.as_ref().context("only fieldRef is supported here")?.field_path.as_str();
    field(pod, path, around).with_context(|| format!("fieldRef {path}"))
}

/// A field of a pod, as the downward API gives it.
pub(super) fn field(pod: &Pod, path: &str, around: &Surroundings) -> anyhow::Result<String> {
    let spec = pod.spec.as_ref().context("a pod with a specification")?;
    Ok(match path {
        "metadata.name" => pod.name_any(),
        "metadata.namespace" => pod.namespace().unwrap_or_default(),
        "metadata.uid" => pod.uid().unwrap_or_default(),
        "spec.nodeName" => spec.node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => spec.service_account_name.clone().unwrap_or_default(),
        "status.podIP" => around.pod_address.clone(),
        "status.hostIP" => around.node_address.clone(),
        _ => keyed(path, "metadata.labels", pod.labels())
            .or_else(|| keyed(path, "metadata.annotations", pod.annotations()))
            .context("not supported here")?,
    })
}

/// The entry that `path` names in `map`, if it is a path into it: `metadata.labels['app']`.
fn keyed(path: &str, prefix: &str, map: &BTreeMap<String, String>) -> Option<String> {
    let key = path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']")?;
    Some(map.get(key).cloned().unwrap_or_default())
}

/// Replaces `$(NAME)` by the variable's value; `$$` stands for `$`, and unknown names stay as they are.
pub(super) fn expand(text: &str, variables: &[(String, String)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let (replacement, length) = replacement(&rest[at..], variables);
        out.push_str(replacement);
        rest = &rest[at + length..];
    }
    out + rest
}

/// What stands for the beginning of `text`, which is a `$`, and how much of it.
fn replacement<'a>(text: &'a str, variables: &'a [(String, String)]) -> (&'a str, usize) {
    if text.starts_with("$$") {
        return ("$", 2);
    }
    let name = text.strip_prefix("$(").and_then(|rest| rest.split_once(')')).map(|(name, _)| name);
    let known = name.and_then(|name| variables.iter().rev().find(|(other, _)| other == name));
    known.map_or((&text[..1], 1), |(name, value)| (value.as_str(), name.len() + 3))
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn known_names_are_expanded_and_others_stay() {
        let variables = [("A".to_owned(), "1".to_owned()), ("A".to_owned(), "2".to_owned())];
        for (text, expanded) in [
            ("--a=$(A)", "--a=2"),
            ("$(A)$(A)", "22"),
            ("$$(A)", "$(A)"),
            ("$(B) $(A", "$(B) $(A"),
            ("costs 3$", "costs 3$"),
        ] {
            assert_eq!(expand(text, &variables), expanded, "{text}");
        }
    }
}
