//! Feature by feature: what a kubelet 1.36 sends, and what arrives at the plugin. The tables of
//! `docs/features.md` name these tests, row by row.

mod containers;
mod kubelet;
mod metadata;
mod network;
mod resources;
mod security;
mod slurm;
mod states;
mod table;
mod volumes;
