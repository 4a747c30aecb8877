//! (room under construction: store)
