//! (room under construction: plugin)
