//! The receive buffers that all sockets of a ring share.
//!
//! Owns their memory and the ring in which the kernel finds the free ones. Does not know which socket uses which.
#![allow(unsafe_code)]

use disk::BLOCK_SIZE;
use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::io;
use std::ops::Deref;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

/// The only buffer group of a ring.
pub(super) const GROUP: u16 = 0;

/// `count` buffers of `size` bytes. Lives as long as the ring and every buffer that a user holds.
#[derive(Debug)]
pub(super) struct RecvPool {
    memory: Pages,
    entries: Pages,
    count: u16,
    size: u32,
    /// Position behind the last free buffer, modulo 2^16; the kernel reads a copy of it in `entries`.
    tail: Cell<u16>,
    /// Buffers that the kernel filled and nobody gave back yet.
    held: Cell<u16>,
}

impl RecvPool {
    /// `count` is a power of two.
    pub(super) fn new(count: u16, size: u32) -> Rc<Self> {
        assert!(count.is_power_of_two());
        let pool = Rc::new(RecvPool {
            memory: Pages::new(usize::from(count) * size as usize),
            entries: Pages::new(usize::from(count) * size_of::<BufRingEntry>()),
            count,
            size,
            tail: Cell::new(0),
            held: Cell::new(0),
        });
        (0..count).for_each(|id| pool.offer(id));
        pool
    }

    /// Makes the buffers known to a ring.
    ///
    /// # Safety
    /// The pool must outlive the ring.
    pub(super) unsafe fn register(&self, submitter: &Submitter<'_>) -> io::Result<()> {
        let address = self.entries.start.as_ptr().addr() as u64;
        // SAFETY: the entries are `count` long, page aligned, and the caller keeps them for the life of the ring.
        unsafe { submitter.register_buf_ring_with_flags(address, self.count, GROUP, 0) }
    }

    /// Whether the kernel has a buffer left.
    pub(super) fn has_free(&self) -> bool {
        self.held.get() < self.count
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> u16 {
        self.held.get()
    }

    /// Takes over a buffer that the kernel says it has filled with `len` bytes.
    pub(super) fn take(self: &Rc<Self>, id: u16, len: u32) -> PooledBuffer {
        assert!(id < self.count && len <= self.size, "buffer {id} with {len} bytes is not of this pool");
        self.held.set(self.held.get() + 1);
        PooledBuffer { pool: Rc::clone(self), id, len }
    }

    fn give_back(&self, id: u16) {
        self.held.set(self.held.get() - 1);
        self.offer(id);
    }

    /// Puts a buffer at the tail of the ring of free ones.
    fn offer(&self, id: u16) {
        let tail = self.tail.get();
        let base = self.entries.start.as_ptr().cast::<BufRingEntry>();
        // SAFETY: the masked index is below `count`; the kernel does not look at an entry from the tail on; both hold all
        // buffers at most once, so the ring cannot overrun its head.
        let entry = unsafe { &mut *base.add(usize::from(tail & (self.count - 1))) };
        entry.set_addr(self.address(id).addr() as u64);
        entry.set_len(self.size);
        entry.set_bid(id);
        self.tail.set(tail.wrapping_add(1));
        // SAFETY: `base` is the first entry of the ring, initialised with zeros, so that its tail field is at a valid,
        // aligned address; only this thread writes it, and the kernel reads it atomically.
        let shared_tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(base).cast_mut()) };
        // Release: the kernel must see the entry before the tail that covers it.
        shared_tail.store(self.tail.get(), Ordering::Release);
    }

    fn address(&self, id: u16) -> *mut u8 {
        // SAFETY: every id is below `count`, so the offset lies within `memory`.
        unsafe { self.memory.start.as_ptr().add(usize::from(id) * self.size as usize) }
    }
}

/// A filled buffer; it returns to its pool when dropped.
pub(crate) struct PooledBuffer {
    pool: Rc<RecvPool>,
    id: u16,
    len: u32,
}

impl Deref for PooledBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the kernel filled `len` bytes of this buffer and does not write to it again until it is offered again.
        unsafe { std::slice::from_raw_parts(self.pool.address(self.id), self.len as usize) }
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        self.pool.give_back(self.id);
    }
}

/// Zeroed memory that begins at a page.
#[derive(Debug)]
struct Pages {
    start: NonNull<u8>,
    allocation: NonNull<u8>,
    layout: Layout,
}

impl Pages {
    fn new(len: usize) -> Self {
        // Aligned by hand: the allocator would fill aligned memory with zeros itself, megabytes at each start, while what it
        // gets from the kernel without such a wish is zero and costs nothing until it is used.
        let layout = Layout::from_size_align(len + BLOCK_SIZE, 1).expect("a pool is smaller than the address space");
        // SAFETY: the layout is not empty.
        let allocation = unsafe { alloc_zeroed(layout) };
        let allocation = NonNull::new(allocation).unwrap_or_else(|| handle_alloc_error(layout));
        // SAFETY: less than a block is skipped, and a block more than `len` was allocated.
        let start = unsafe { allocation.add(allocation.align_offset(BLOCK_SIZE)) };
        Pages { start, allocation, layout }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with this layout.
        unsafe { dealloc(self.allocation.as_ptr(), self.layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_when_dropped() {
        let pool = RecvPool::new(4, 4096);
        let held: Vec<PooledBuffer> = (0..4).map(|id| pool.take(id, 10)).collect();
        assert!(!pool.has_free());
        assert_eq!(held[3].len(), 10);
        drop(held);
        assert!(pool.has_free());
        assert_eq!(pool.held(), 0);
        assert_eq!(pool.tail.get(), 8);
    }

    #[test]
    #[should_panic(expected = "not of this pool")]
    fn a_buffer_of_unknown_number_is_refused() {
        RecvPool::new(4, 4096).take(4, 1);
    }
}
