//! `ListImages` and `StreamImages`.

use std::sync::Arc;

use protobuf::MessageField;

use super::{parts::in_parts, CriContext, Error};
use crate::{
    model,
    proto::{
        Image, ImageFilter, ImageSpec, Int64Value, ListImagesRequest, ListImagesResponse, Replies,
        StreamImagesRequest, StreamImagesResponse,
    },
};

impl CriContext {
    pub(super) fn list_images(
        &self,
        request: &ListImagesRequest,
    ) -> Result<ListImagesResponse, Error> {
        let images = self.fitting(self.images_where(&request.filter), "images")?;
        Ok(ListImagesResponse {
            images,
            ..Default::default()
        })
    }

    pub(super) fn stream_images(
        &self,
        request: &StreamImagesRequest,
    ) -> Result<Replies<StreamImagesResponse>, Error> {
        let message = |images| StreamImagesResponse {
            images,
            ..Default::default()
        };
        Ok(in_parts(self.images_where(&request.filter), message))
    }

    fn images_where(&self, filter: &ImageFilter) -> Vec<Image> {
        let wanted = &filter.image.image;
        let mut images: Vec<Arc<model::Image>> = if wanted.is_empty() {
            self.store.images()
        } else {
            // A filter that is no reference fits nothing.
            self.find_image(wanted).ok().flatten().into_iter().collect()
        };
        images.sort_by(|a, b| a.id.cmp(&b.id));
        images.iter().map(|image| self.image_item(image)).collect()
    }

    /// An image as the CRI shows it. Nobody looked into it: its size is the smallest that the
    /// kubelet accepts (`ImageStatus` in cri-client/pkg/remote_image.go), and its user the configured
    /// one, without which a pod with runAsNonRoot and no user is refused (`getImageUser` and
    /// `verifyRunAsNonRoot` in pkg/kubelet/kuberuntime).
    pub(super) fn image_item(&self, image: &model::Image) -> Image {
        let value = i64::from(self.config.images.uid);
        let uid = (value > 0).then(|| Int64Value {
            value,
            ..Default::default()
        });
        let spec = ImageSpec {
            image: image.id.clone(),
            ..Default::default()
        };
        Image {
            id: image.id.clone(),
            repo_tags: image.repo_tags.clone(),
            repo_digests: image.repo_digests.clone(),
            size: 1,
            uid: MessageField::from_option(uid),
            spec: MessageField::some(spec),
            ..Default::default()
        }
    }
}
