//! (room under construction: worker)
