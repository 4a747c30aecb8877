//! (room under construction: logs)
