//! The tables of the embedded store, and what is written to them.

use redb::TableDefinition;

use super::rows::Rows;

/// A table of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Static halves of sandboxes, by sandbox id.
    Sandboxes,
    /// Static halves of containers, by container id.
    Containers,
    /// What changes about pods, by sandbox id.
    Pods,
    /// Images, by image id.
    Images,
    /// How far container logs were written, by container id.
    LogPositions,
    /// Single values, by name.
    Values,
    /// Damaged rows of the others, by table and key. Written and never read.
    SetAside,
}

impl Table {
    /// Those that are read at the start.
    pub(super) const ALL: [Table; 6] = [
        Table::Sandboxes,
        Table::Containers,
        Table::Pods,
        Table::Images,
        Table::LogPositions,
        Table::Values,
    ];

    /// What the state file calls it. Never changed: old files have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Table::Sandboxes => "sandboxes",
            Table::Containers => "containers",
            Table::Pods => "pods",
            Table::Images => "images",
            Table::LogPositions => "log_positions",
            Table::Values => "values",
            Table::SetAside => "set_aside",
        }
    }

    pub(super) fn definition(self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        TableDefinition::new(self.name())
    }
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub(super) table: Table,
    pub(super) key: String,
    /// `None` deletes.
    pub(super) value: Option<Vec<u8>>,
}

impl Write {
    /// Sets a key.
    pub fn put(table: Table, key: &str, value: Vec<u8>) -> Self {
        Self {
            table,
            key: key.to_owned(),
            value: Some(value),
        }
    }

    /// Deletes a key, or nothing if it is not there.
    pub fn delete(table: Table, key: &str) -> Self {
        Self {
            table,
            key: key.to_owned(),
            value: None,
        }
    }

    /// The table that it goes to.
    pub fn table(&self) -> Table {
        self.table
    }

    /// What will be in its place; nothing if it deletes.
    #[cfg(any(test, fuzzing))]
    pub(super) fn into_row(self) -> Option<(Table, String, Vec<u8>)> {
        self.value.map(|value| (self.table, self.key, value))
    }
}

/// Everything that was on disk, table by table.
pub type Contents = Vec<(Table, Rows)>;
