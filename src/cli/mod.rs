//! (room under construction: cli)
