//! Variables that tell a container where services are.

use std::collections::BTreeSet;

use super::pod::Variables;
use crate::proto::KeyValue;

/// The longest name of a service: that of a DNS label.
const MAX_NAME: usize = 63;

/// Those of a container's variables that a kubelet made of services (`FromServices` in
/// `pkg/kubelet/envvars/envvars.go`): for each `X_SERVICE_HOST` that has its `X_SERVICE_PORT`, and
/// `X_PORT...` as Docker had it. It gives the same to all containers of a pod.
pub fn service_variables(variables: &[KeyValue]) -> Variables {
    let names: BTreeSet<_> = variables.iter().map(|one| one.key.as_str()).collect();
    let hosts = names
        .iter()
        .filter_map(|name| name.strip_suffix("_SERVICE_HOST"));
    let hosts: BTreeSet<_> = hosts
        .filter(|name| name.len() <= MAX_NAME)
        .filter(|name| names.contains(&*format!("{name}_SERVICE_PORT")))
        .collect();
    // Each variable is compared with its own beginnings, not with all services, of which there may be
    // as many as variables.
    let is_one = |key: &str| {
        let ends = key.match_indices('_').map(|(at, _)| at);
        ends.take_while(|at| *at <= MAX_NAME).any(|at| {
            let (name, rest) = key.split_at(at);
            let fits = matches!(rest, "_SERVICE_HOST" | "_SERVICE_PORT" | "_PORT")
                || rest.starts_with("_SERVICE_PORT_")
                || rest.starts_with("_PORT_");
            fits && hosts.contains(name)
        })
    };
    let variables = variables.iter().filter(|one| is_one(&one.key));
    variables
        .map(|one| (one.key.clone(), one.value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_brings_is_told_from_what_looks_like_it() {
        let rows = [
            ("KUBERNETES_SERVICE_HOST", true),
            ("KUBERNETES_SERVICE_PORT", true),
            ("KUBERNETES_SERVICE_PORT_HTTPS", true),
            ("KUBERNETES_PORT", true),
            ("KUBERNETES_PORT_443_TCP_ADDR", true),
            ("DB_PORT", false),
            ("LONE_SERVICE_HOST", false),
            ("KUBERNETES_PORTAL", false),
            ("DATA_PORT_SERVICE_HOST", true),
            ("DATA_PORT_SERVICE_PORT", true),
            ("DATA_PORT_PORT_80_TCP", true),
            ("DATA_PORT_80_TCP", false),
        ];
        let variables = rows.map(|(name, _)| KeyValue {
            key: name.to_owned(),
            ..Default::default()
        });
        let kept = service_variables(&variables);
        let kept: Vec<_> = kept.iter().map(|(name, _)| name.as_str()).collect();
        let want = rows.iter().filter(|(_, is_one)| *is_one);
        let want: Vec<_> = want.map(|(name, _)| *name).collect();
        assert_eq!(kept, want);
    }
}
