//! (room under construction: convert)
