//! Points in time as Kubernetes writes them.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use crate::model::Nanos;

/// Whole seconds are written, as Kubernetes does.
pub fn time(at: Nanos) -> Time {
    // Every i64 of nanoseconds lies within the type's range; the default is for form.
    Time(Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or_default())
}
