//! Streams of lists: their items in messages of a bounded size each.

use futures_util::StreamExt as _;
use protobuf::Message;

use super::list_size::size;
use crate::proto::Replies;

/// A message of a stream is no larger, unless it has one item only. No item is larger than the request
/// that brought it.
pub const PART_BYTES: usize = 1 << 20;

/// The stream of a list of messages.
pub fn in_parts<T: Message, P: Send + 'static>(
    items: Vec<T>,
    message: impl Fn(Vec<T>) -> P + Send + 'static,
) -> Replies<P> {
    let mut items = items.into_iter().peekable();
    let parts = std::iter::from_fn(move || {
        let mut bytes = 0;
        let mut part = Vec::new();
        while let Some(item) = items.next_if(|item| has_room(bytes, size(item))) {
            bytes += size(&item);
            part.push(item);
        }
        (!part.is_empty()).then(|| message(part))
    });
    futures_util::stream::iter(parts).boxed()
}

fn has_room(has: u64, more: u64) -> bool {
    has == 0 || has + more <= PART_BYTES as u64
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on_stream;

    use super::*;
    use crate::proto::{Image, ListImagesResponse};

    #[test]
    fn every_item_is_in_one_part_and_no_part_too_large_but_for_one_item() {
        let image = |bytes: usize| Image {
            id: "i".repeat(bytes),
            ..Default::default()
        };
        let sizes = [10, 700_000, 600_000, 3_000_000, 10, 10];
        let parts = in_parts(sizes.map(image).into(), |images| ListImagesResponse {
            images,
            ..Default::default()
        });
        let lengths = |part: ListImagesResponse| -> Vec<_> {
            part.images.iter().map(|image| image.id.len()).collect()
        };
        let parts: Vec<_> = block_on_stream(parts).map(lengths).collect();
        let want = [&[10, 700_000][..], &[600_000], &[3_000_000], &[10, 10]];
        assert_eq!(parts, want);
    }
}
