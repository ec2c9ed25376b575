//! The lane by itself, without a disk.
