//! Real equipment.
