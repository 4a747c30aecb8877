//! (room under construction: host)
