//! (room under construction: interlink)
