//! (room under construction: telemetry)
