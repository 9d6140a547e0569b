//! The bodies of the fuzz targets, as plain functions of the input. Each panics if the input shows a fault.

pub mod format_scan;
pub mod header_ops;
mod image;
mod input;
pub mod log_ops;
mod memory;
pub mod recover_image;
mod repair;
