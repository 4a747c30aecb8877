//! (room under construction: cri)
