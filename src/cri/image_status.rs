//! `ImageStatus`: an image that is not there is an answer without an image, not an error.

use std::collections::HashMap;

use protobuf::MessageField;
use serde_json::json;

use super::{CriContext, Error};
use crate::proto::{ImageStatusRequest, ImageStatusResponse};

impl CriContext {
    pub(super) fn image_status(
        &self,
        request: &ImageStatusRequest,
    ) -> Result<ImageStatusResponse, Error> {
        let spec = &request.image.image;
        let found = self
            .find_image(spec)
            .map_err(|error| Error::Invalid(error.to_string()))?;
        let Some(image) = found else {
            return Ok(ImageStatusResponse::default());
        };
        let mut info = HashMap::new();
        if request.verbose {
            let remote = json!({
                "reference": image.user_ref,
                "note": "nothing is pulled on this node; the remote side pulls the reference",
            });
            info.insert("remote".to_owned(), remote.to_string());
        }
        let image = MessageField::some(self.image_item(&image));
        Ok(ImageStatusResponse {
            image,
            info,
            ..Default::default()
        })
    }
}
