//! What holds of image references and amounts, whatever the text.

use protobuf::Message as _;

use super::{image_id, quantity, resources, user_image, ImageRef};
use crate::proto::{ImageSpec, LinuxContainerResources};

/// The longest message that an error has here.
const MAX_MESSAGE: usize = 2048;

/// A reference: refused with a short message, or normalised once and for all, with one identity.
pub fn image_ref(text: &str) {
    let spec = ImageSpec {
        image: text.to_owned(),
        ..Default::default()
    };
    let is_written = !text.is_empty() && image_id(text).is_none();
    assert_eq!(user_image(&spec, None), is_written.then_some(text));
    let image = match ImageRef::parse(text) {
        Ok(image) => image,
        Err(error) => return assert!(error.to_string().len() < MAX_MESSAGE),
    };
    assert_eq!(image_id(text), None, "an id is no reference");
    assert_eq!(
        ImageRef::parse(&image.to_string()).as_ref().ok(),
        Some(&image)
    );
    let id = image.id();
    assert_eq!(image_id(&id).as_deref(), Some(id.as_str()));
    assert!(image.tag().is_some() != image.digest().is_some());
    assert_eq!(image.repo_digests().len(), 1);
    for text in [image.repo_tags(), image.repo_digests()].concat() {
        let again = ImageRef::parse(&text).map(|image| (image.name().to_owned(), image.id()));
        assert_eq!(again.ok(), Some((image.name().to_owned(), id.clone())));
    }
}

/// An amount of memory: refused with a short message, or printed so that it reads back.
pub fn quantity(text: &str) {
    let amount = match quantity::parse_memory(text) {
        Ok(amount) => amount,
        Err(error) => return assert!(error.to_string().len() < MAX_MESSAGE),
    };
    amount_reads_back(amount);
    for signed in [format!("+{text}"), format!("0{text}")] {
        // A sign, or twenty-one digits, are not read twice.
        if let Ok(same) = quantity::parse_memory(&signed) {
            assert_eq!(same, amount, "{signed}");
        }
    }
}

fn amount_reads_back(amount: u64) {
    let read = |text: &str| quantity::parse_memory(text).ok();
    assert_eq!(read(&quantity::memory(amount).0), Some(amount));
    // As a number a CPU amount is the same: a fraction of one counts as one.
    assert_eq!(read(&quantity::cpu(amount).0), Some(amount.div_ceil(1000)));
}

/// The figures of a container, as the kubelet sends them: `default_memory` in the first eight
/// bytes, then a `LinuxContainerResources`, of which as much counts as can be read.
pub fn resources(data: &[u8]) {
    let (default, message) = data.split_at(data.len().min(8));
    let default = default.try_into().map(u64::from_le_bytes).ok();
    let mut given = LinuxContainerResources::new();
    // What comes before a fault has been read.
    let _ = given.merge_from_bytes(message);
    let required = match resources::requirements(&given, default) {
        Ok(required) => required.unwrap_or_default(),
        Err(error) => return assert!(error.to_string().len() < MAX_MESSAGE),
    };
    let limits = required.limits.unwrap_or_default();
    let requests = required.requests.unwrap_or_default();
    for amount in limits.values().chain(requests.values()) {
        assert!(quantity::parse_memory(&amount.0).is_ok(), "{}", amount.0);
    }
    let (quota, period) = (
        given.cpu_quota.max(0) as u128,
        given.cpu_period.max(0) as u128,
    );
    let period = if period == 0 { 100_000 } else { period };
    let millicores = u64::try_from((quota * 1000).div_ceil(period)).unwrap_or(u64::MAX);
    let cpu = (quota > 0).then(|| quantity::cpu(millicores));
    assert_eq!(limits.get("cpu"), cpu.as_ref());
    let memory = |list: &std::collections::BTreeMap<_, _>| {
        let amount: Option<&k8s_openapi::apimachinery::pkg::api::resource::Quantity> =
            list.get("memory");
        amount.and_then(|amount| quantity::parse_memory(&amount.0).ok())
    };
    let own = u64::try_from(given.memory_limit_in_bytes)
        .ok()
        .filter(|own| *own > 0);
    match own {
        Some(own) => assert_eq!(memory(&limits), Some(own)),
        // A limit below the request would be no valid pod.
        None => assert!(default.is_none() || memory(&limits) >= memory(&requests)),
    }
}
