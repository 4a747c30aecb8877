//! Records with their whole configurations, which only the disk keeps.
//!
//! Reading them waits for the disk, though for no write. So it is for those who wait for the disk anyway:
//! workers, and calls that change something; never for a call that only reads.

use std::sync::Arc;

use super::{record, table::Table, Error, Store};
use crate::{
    convert,
    model::{Container, Pod, Sandbox},
};

impl Store {
    /// A pod as it is given, with the configurations that its sandbox and containers have now.
    ///
    /// # Errors
    /// [`Error::Disk`]; [`Error::Record`]; [`Error::NotOnDisk`] where one was removed meanwhile.
    pub fn load(&self, pod: &Pod) -> Result<Pod, Error> {
        let mut loaded = pod.clone();
        let containers = pod.containers.iter();
        let containers = containers.map(|entry| (Table::Containers, entry.id().as_str()));
        let sandbox = (Table::Sandboxes, pod.sandbox.id.as_str());
        let keys: Vec<_> = std::iter::once(sandbox).chain(containers).collect();
        let mut configs = self.configs(&keys)?.into_iter();
        if let Some(config) = configs.next() {
            Arc::make_mut(&mut loaded.sandbox).config = convert::sandbox_config(config);
        }
        for (entry, config) in loaded.containers.iter_mut().zip(configs) {
            Arc::make_mut(&mut entry.container).config = convert::container_config(config);
        }
        Ok(loaded)
    }

    /// A sandbox as it is given, with the configuration that it has now.
    ///
    /// # Errors
    /// Those of [`Store::load`].
    pub fn load_sandbox(&self, sandbox: &Sandbox) -> Result<Sandbox, Error> {
        let configs = self.configs(&[(Table::Sandboxes, sandbox.id.as_str())])?;
        let mut loaded = sandbox.clone();
        for config in configs {
            loaded.config = convert::sandbox_config(config);
        }
        Ok(loaded)
    }

    /// A container as it is given, with the configuration that it has now.
    ///
    /// # Errors
    /// Those of [`Store::load`].
    pub fn load_container(&self, container: &Container) -> Result<Container, Error> {
        let configs = self.configs(&[(Table::Containers, container.id.as_str())])?;
        let mut loaded = container.clone();
        for config in configs {
            loaded.config = convert::container_config(config);
        }
        Ok(loaded)
    }

    /// The configurations in some records, in their order.
    fn configs(&self, keys: &[(Table, &str)]) -> Result<Vec<Arc<[u8]>>, Error> {
        let rows = self.journal.rows(keys)?;
        let config = |((table, key), row): (&(Table, &str), Option<Vec<u8>>)| {
            let record = || format!("{}/{key}", table.name());
            let row = row.ok_or_else(|| Error::NotOnDisk { record: record() })?;
            let config = record::config(&row).map_err(|error| Error::Record {
                record: record(),
                reason: error.to_string(),
            });
            config.map(Arc::from)
        };
        keys.iter().zip(rows).map(config).collect()
    }
}
