//! Images in the store.

use std::sync::Arc;

use super::{
    record,
    table::{Table, Write},
    Error, Store,
};
use crate::model::Image;

impl Store {
    /// An image by its id.
    pub fn image(&self, id: &str) -> Option<Arc<Image>> {
        self.images.read().get(id).cloned()
    }

    /// All images, in no order.
    pub fn images(&self) -> Vec<Arc<Image>> {
        self.images.read().values().cloned().collect()
    }

    /// Adds an image, or changes the one with that id. The closure gets what is there.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn put_image(
        &self,
        id: &str,
        change: impl FnOnce(Option<&Image>) -> Image,
    ) -> Result<Arc<Image>, Error> {
        let _turn = self.image_turn.lock();
        let before = self.image(id);
        let after = Arc::new(change(before.as_deref()));
        if before.as_ref() != Some(&after) {
            self.journal.commit(vec![record::put_image(&after)])?;
            self.images.write().insert(id.to_owned(), after.clone());
        }
        Ok(after)
    }

    /// Removes an image; nothing happens if it is not there.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn remove_image(&self, id: &str) -> Result<(), Error> {
        let _turn = self.image_turn.lock();
        if self.image(id).is_some() {
            self.journal
                .commit(vec![Write::delete(Table::Images, id)])?;
            self.images.write().remove(id);
        }
        Ok(())
    }
}
