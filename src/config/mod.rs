//! The configuration: keys and defaults (`schema`), where values come from (`load`), and what is
//! wrong with them (`check`).

mod duration;
pub mod schema;

pub use schema::Config;
