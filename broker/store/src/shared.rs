//! What every part of the store and each of its tasks needs: configuration, names, the way to the disk, buffers.
//!
//! Owns nothing that changes except the counter of temporary names and whether spares are wanted at once.

use crate::cache::Memory;
use crate::names::Names;
use crate::port::Port;
use crate::{Config, StoreError};
use bytes::{Bytes, BytesMut};
use disk::{BLOCK_SIZE, DiskError};
use std::cell::Cell;
use std::rc::Rc;

/// Segments are read, and zeros are written, in units of so many bytes.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) names: Names,
    pub(crate) port: Port,
    /// Fresh for each start of a process.
    pub(crate) process: u128,
    allocate: fn(usize) -> BytesMut,
    /// The budget of all lanes for message bytes.
    pub(crate) memory: Memory,
    zeros: Bytes,
    next_number: Cell<u64>,
    /// A claim waits for spares: they are only given their place on the disk, not filled.
    pub(crate) is_hurried: Cell<bool>,
    /// So many bytes of a spare may be filled by now: beside service it is done little by little.
    pub(crate) fill_limit: Cell<u64>,
}

impl Shared {
    pub(crate) fn new(config: Config, process: u128, allocate: fn(usize) -> BytesMut) -> Rc<Self> {
        let mut zeros = allocate(CHUNK_BYTES);
        zeros.resize(CHUNK_BYTES, 0);
        let zeros = zeros.freeze();
        let names = Names::new(&config);
        let memory = Memory::new(
            (config.cache_bytes_max < usize::MAX).then_some(config.cache_bytes_max),
            config.swap,
            config.segment_bytes,
        );
        Rc::new(Self {
            config,
            names,
            port: Port::default(),
            process,
            allocate,
            memory,
            zeros,
            next_number: Cell::new(0),
            is_hurried: Cell::new(false),
            fill_limit: Cell::new(u64::MAX),
        })
    }

    /// An empty buffer that takes `capacity` bytes without moving, at an address fit for direct I/O.
    pub(crate) fn buffer(&self, capacity: usize) -> BytesMut {
        let buffer = (self.allocate)(capacity);
        assert!(buffer.is_empty() && buffer.capacity() >= capacity, "the allocator gives what was asked");
        assert!((buffer.as_ptr() as usize).is_multiple_of(BLOCK_SIZE), "the allocator gives aligned addresses");
        buffer
    }

    /// Up to [`CHUNK_BYTES`] zeros.
    pub(crate) fn zeros(&self, len: usize) -> Bytes {
        self.zeros.slice(..len)
    }

    /// A number that no other temporary file of this process has.
    pub(crate) fn next_number(&self) -> u64 {
        self.next_number.set(self.next_number.get() + 1);
        self.next_number.get()
    }

    /// Length of this lane's new segments in bytes.
    pub(crate) fn segment_bytes(&self, lane: usize) -> u64 {
        if lane == 0 { self.config.meta_segment_bytes } else { self.config.segment_bytes }
    }
}

/// Turns a failed operation into the store's error.
pub(crate) fn while_doing(what: &'static str) -> impl FnOnce(DiskError) -> StoreError {
    move |cause| StoreError::Disk { while_doing: what, cause }
}
