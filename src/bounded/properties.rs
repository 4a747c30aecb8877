//! What holds of any text that is read within a bound.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Secret};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{from_json, from_json_within, from_yaml_documents, Budget, Error};

/// Any body: the first byte chooses what it is read as. Within a bound it is read as without one, or
/// refused because of the bound.
pub fn any_object(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else {
        return;
    };
    match kind % 6 {
        0 => reads_alike::<Pod>(body),
        1 => reads_alike::<Vec<Pod>>(body),
        2 => reads_alike::<ConfigMap>(body),
        3 => reads_alike::<Secret>(body),
        4 => reads_alike::<Node>(body),
        _ => {
            reads_alike::<Value>(body);
            if let Ok(text) = std::str::from_utf8(body) {
                // Refused or not, it ends.
                drop(from_yaml_documents(text));
            }
        }
    }
}

fn reads_alike<T: DeserializeOwned + PartialEq + Debug>(body: &[u8]) {
    let plain = serde_json::from_slice::<T>(body);
    match (from_json::<T>(body), &plain) {
        (Ok(bounded), Ok(plain)) => assert_eq!(bounded, *plain),
        (Err(Error::TooMuch { .. }), _) | (Err(Error::Json(_)), Err(_)) => {}
        (bounded, plain) => panic!("{bounded:?} within a bound, {plain:?} without one"),
    }
    let budget = Budget::of(2 * body.len());
    match (from_json_within::<T>(body, &budget), plain) {
        (Ok(bounded), Ok(plain)) => assert_eq!(bounded.object, plain),
        (Err(Error::TooMuch { .. }), _) => assert!(budget.is_exhausted()),
        (Err(Error::Json(_)), Err(_)) => {}
        (bounded, plain) => panic!("{bounded:?} within {budget:?}, {plain:?} without one"),
    }
    assert!(budget.used() <= budget.most());
}
