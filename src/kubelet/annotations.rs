//! Labels and annotations in which a kubelet notes what the CRI has no field for
//! (`pkg/kubelet/kuberuntime/labels.go`, `pkg/kubelet/types/labels.go`).

use k8s_openapi::api::core::v1::ContainerPort;

use crate::{json::Piece, model::StringMap};

/// What the kubelet's own labels and annotations begin with: they mean something on their node only.
pub const PREFIX: &str = "io.kubernetes.";
/// Where a pod came from and when (`pkg/kubelet/types/pod_update.go`).
pub const CONFIG_PREFIX: &str = "kubernetes.io/config.";
/// A label: the container's name.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// A label: the pod's name.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// A label: the pod's namespace.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// A label: the pod's UID.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// How often the container was started again.
pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
/// The container's `terminationMessagePath`.
pub const MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
/// What that is unless the pod says otherwise (`TerminationMessagePathDefault`).
pub const DEFAULT_MESSAGE_PATH: &str = "/dev/termination-log";
/// The container's `terminationMessagePolicy`.
pub const MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// The container's ports, in JSON.
pub const PORTS: &str = "io.kubernetes.container.ports";
/// The container's preStop hook, in JSON.
pub const PRE_STOP: &str = "io.kubernetes.container.preStopHandler";
/// The pod's `terminationGracePeriodSeconds`, noted on each container.
pub const GRACE_PERIOD: &str = "io.kubernetes.pod.terminationGracePeriod";

/// Whether an annotation is a kubelet's own, which it reads back; all others are the pod's author's, and it
/// has them in the pod.
pub fn is_read_back(key: &str) -> bool {
    key.starts_with(PREFIX) || key.starts_with(CONFIG_PREFIX)
}

/// Those of its own that may be as large as the pod's author makes them. A kubelet reads them in statuses,
/// when it ends a container whose pod is gone; of a list it takes the hash only (`toKubeContainer` in
/// `pkg/kubelet/kuberuntime/helpers.go`).
pub const READ_IN_STATUSES: [&str; 2] = [PORTS, PRE_STOP];

/// The seconds that the annotations of a container say its pod has to end; none where they do not.
pub fn grace_period(annotations: &StringMap) -> Option<i64> {
    let seconds = annotations.get(GRACE_PERIOD)?.parse().ok();
    seconds.filter(|seconds| *seconds >= 0)
}

/// A port as the kubelet notes it; none where it is no such thing.
fn port(port: Piece<'_>) -> Option<ContainerPort> {
    let field = |name: &str| port.field(name).ok().flatten();
    let number = |name: &str| {
        let number = std::str::from_utf8(field(name)?.bytes()).ok()?;
        number.parse().ok().and_then(port_number)
    };
    let text = |name: &str| {
        let text = field(name).filter(|piece| piece.bytes().starts_with(b"\""));
        Some(text?.text().ok()?.into_owned())
    };
    Some(ContainerPort {
        name: text("name"),
        container_port: number("containerPort")?,
        host_port: number("hostPort"),
        protocol: text("protocol"),
        host_ip: text("hostIP"),
    })
}

/// The ports that the annotations of a container tell; none where they do not.
pub fn ports(annotations: &StringMap) -> Option<Vec<ContainerPort>> {
    let text = annotations.get(PORTS)?;
    let mut list = Piece::of_body(text.as_bytes()).and_then(Piece::list).ok()?;
    let mut ports = Vec::new();
    while let Some(port) = list.next_element().ok()? {
        ports.extend(self::port(port));
    }
    (!ports.is_empty()).then_some(ports)
}

/// A number that a port can have.
pub fn port_number(number: i64) -> Option<i32> {
    let number = i32::try_from(number).ok();
    number.filter(|number| (1..=65535).contains(number))
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;
    use crate::memory_testing::holds_little;

    fn noted(key: &str, text: &str) -> StringMap {
        [(key, text)].into()
    }

    #[test]
    fn ports_come_as_the_kubelet_notes_them() {
        let ports = |text: &str| json!(ports(&noted(PORTS, text)));
        assert_eq!(
            ports(
                r#"[{"name":"http","hostPort":8080,"containerPort":80,"protocol":"TCP"},{"containerPort":53,"protocol":"UDP"}]"#
            ),
            json!([
                {"name": "http", "hostPort": 8080, "containerPort": 80, "protocol": "TCP"},
                {"containerPort": 53, "protocol": "UDP"},
            ])
        );
        for none in [
            "",
            "[]",
            "{}",
            "null",
            "[1]",
            r#"[{"containerPort":0}]"#,
            r#"[{"containerPort":"x"}]"#,
        ] {
            assert_eq!(ports(none), Value::Null, "{none}");
        }
        let many = format!("[{}0]", "0,".repeat(500_000));
        holds_little("numbers", many.as_bytes(), 4096, |many| {
            let text = String::from_utf8_lossy(many).into_owned();
            assert_eq!(super::ports(&noted(PORTS, &text)), None);
        });
    }

    #[test]
    fn grace_periods_that_are_none_are_left_out() {
        for (given, want) in [("0", Some(0)), ("-1", None), ("soon", None), ("", None)] {
            assert_eq!(grace_period(&noted(GRACE_PERIOD, given)), want, "{given}");
        }
    }
}
