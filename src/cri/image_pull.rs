//! `PullImage`: nothing is pulled here; the remote side does that. The reference is parsed, kept,
//! and given an identity. Credentials are neither used nor kept nor logged.

use super::{CriContext, Error};
use crate::{
    convert::Reference,
    model::Image,
    proto::{PullImageRequest, PullImageResponse},
};

impl CriContext {
    pub(super) fn pull_image(
        &self,
        request: &PullImageRequest,
    ) -> Result<PullImageResponse, Error> {
        let spec = &request.image.image;
        let reference = Reference::parse(spec, self.settings.takes_other_images)
            .map_err(|error| Error::Invalid(error.to_string()))?;
        let (id, now) = (reference.id(), self.now());
        let written = Some(&request.image.user_specified_image).filter(|text| !text.is_empty());
        let written = written.unwrap_or(spec).clone();
        let image = self.store.put_image(&id, |known| {
            let mut image = known.cloned().unwrap_or_else(|| Image {
                id: id.clone(),
                repo_tags: Vec::new(),
                repo_digests: Vec::new(),
                user_ref: String::new(),
                annotations: Default::default(),
                pulled_at: now,
            });
            image.user_ref = written;
            image.annotations.extend(request.image.annotations.clone());
            add_new(&mut image.repo_tags, reference.repo_tags());
            add_new(&mut image.repo_digests, reference.repo_digests());
            image
        })?;
        let image_ref = image.id.clone();
        Ok(PullImageResponse {
            image_ref,
            ..Default::default()
        })
    }
}

fn add_new(list: &mut Vec<String>, new: Vec<String>) {
    for item in new {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}
