//! `PullImage`: nothing is pulled here; the remote side does that. The reference is parsed, kept,
//! and given an identity. Credentials are neither used nor kept nor logged.

use super::{CriContext, Error};
use crate::{
    convert::Reference,
    model::Image,
    proto::{PullImageRequest, PullImageResponse},
};

/// The longest text of a user that is kept of an image; beyond it the reference itself is.
const MAX_USER_REF: usize = 4096;
/// The most tags, and digests, that are kept of an image.
const MAX_REFERENCES: usize = 64;

impl CriContext {
    pub(super) fn pull_image(
        &self,
        request: &PullImageRequest,
    ) -> Result<PullImageResponse, Error> {
        let spec = &request.image.image;
        let reference = Reference::parse(spec, self.settings.takes_other_images)
            .map_err(|error| Error::Invalid(error.to_string()))?;
        let (id, now) = (reference.id(), self.now());
        let written = Some(&request.image.user_specified_image);
        let written = written.filter(|text| (1..=MAX_USER_REF).contains(&text.len()));
        let written = written.unwrap_or(spec).clone();
        let image = self.store.put_image(&id, |known| {
            let mut image = known.cloned().unwrap_or_else(|| Image {
                id: id.clone(),
                repo_tags: Vec::new(),
                repo_digests: Vec::new(),
                user_ref: String::new(),
                pulled_at: now,
            });
            image.user_ref = written;
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
    // One digest can have any number of tags; the latest ones are the ones in use.
    let surplus = list.len().saturating_sub(MAX_REFERENCES);
    list.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_references_of_an_image_are_kept() {
        let mut tags = Vec::new();
        for number in 0..3 * MAX_REFERENCES {
            add_new(
                &mut tags,
                vec![format!("a:{number}"), format!("a:{number}")],
            );
        }
        assert_eq!(tags.len(), MAX_REFERENCES);
        assert_eq!(tags.last(), Some(&format!("a:{}", 3 * MAX_REFERENCES - 1)));
    }
}
