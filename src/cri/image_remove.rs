//! `RemoveImage`: the whole image goes, with all its references. Success for one that is not there,
//! also for a text that cannot name one.

use super::{CriContext, Error};
use crate::proto::{RemoveImageRequest, RemoveImageResponse};

impl CriContext {
    pub(super) fn remove_image(
        &self,
        request: &RemoveImageRequest,
    ) -> Result<RemoveImageResponse, Error> {
        let spec = &request.image.image;
        if spec.is_empty() {
            return Err(Error::Invalid("no image is given".to_owned()));
        }
        if let Ok(Some(image)) = self.find_image(spec) {
            self.store.remove_image(&image.id)?;
        }
        Ok(RemoveImageResponse::default())
    }
}
