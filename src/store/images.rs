//! Images in the store.

use std::{collections::HashSet, sync::Arc};

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
            let forgotten = self.surplus_images(id);
            let mut writes = vec![record::put_image(&after)];
            let deletions = forgotten.iter();
            writes.extend(deletions.map(|image| Write::delete(Table::Images, &image.id)));
            self.commit(writes)?;
            let mut images = self.images.write();
            for image in &forgotten {
                images.remove(&image.id);
            }
            images.insert(id.to_owned(), after.clone());
        }
        Ok(after)
    }

    /// The images to forget so that there is room for the one with this id: those that no container has,
    /// the oldest first. Nobody else ever removes one, for the kubelet goes by the space that they take,
    /// which is none.
    fn surplus_images(&self, id: &str) -> Vec<Arc<Image>> {
        let mut others = self.images();
        others.retain(|image| image.id != id);
        let surplus = (others.len() + 1).saturating_sub(self.budget.max_images());
        if surplus == 0 {
            return Vec::new();
        }
        let pods = self.pods();
        let containers = pods.iter().flat_map(|pod| &pod.containers);
        let used: HashSet<_> = containers
            .map(|entry| entry.container.image_id.as_str())
            .collect();
        others.retain(|image| !used.contains(image.id.as_str()));
        others.sort_by(|a, b| (a.pulled_at, &a.id).cmp(&(b.pulled_at, &b.id)));
        others.truncate(surplus);
        others
    }

    /// Removes an image; nothing happens if it is not there.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn remove_image(&self, id: &str) -> Result<(), Error> {
        let _turn = self.image_turn.lock();
        if self.image(id).is_some() {
            self.commit(vec![Write::delete(Table::Images, id)])?;
            self.images.write().remove(id);
        }
        Ok(())
    }
}
