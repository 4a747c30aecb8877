//! (room under construction: plan)
