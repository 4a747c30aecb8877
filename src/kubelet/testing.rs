//! A pod with what it names, to try the rules of this room on.

use std::path::Path;

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::{api_objects::ApiObjects, pod::KubeletPod};

/// A service account token.
pub const TOKEN: &str = "t";

/// This pod with UID `u-1` below `/k`.
pub fn kubelet_pod<'a>(pod: &'a Pod, objects: &'a ApiObjects) -> KubeletPod<'a> {
    KubeletPod {
        pod,
        uid: "u-1",
        kubelet_root: Path::new("/k"),
        pod_ip: None,
        objects,
        image_user: None,
        service_variables: Vec::new(),
    }
}

/// A pod with a ConfigMap `conf` and a Secret `key` beside it.
pub fn with_pod<T>(token: Option<&str>, test: impl FnOnce(&KubeletPod<'_>) -> T) -> T {
    let pod: Pod = serde_json::from_value(json!({"metadata": {
        "name": "a",
        "labels": {"app": "web", "tier": "one"},
        "annotations": {"n": "x y"},
    }}))
    .unwrap();
    let map = json!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": "/wA="}});
    let secret = json!({"data": {"p": "aGk=", "q": "b2xk"}, "stringData": {"q": "new"}});
    let objects = ApiObjects {
        configmaps: [("conf".to_owned(), serde_json::from_value(map).unwrap())].into(),
        secrets: [("key".to_owned(), serde_json::from_value(secret).unwrap())].into(),
        token: token.map(str::to_owned),
        ..ApiObjects::default()
    };
    test(&KubeletPod {
        pod_ip: "10.0.0.7".parse().ok(),
        ..kubelet_pod(&pod, &objects)
    })
}
