//! The provided buffers.

#[derive(Debug)]
pub(crate) struct PooledBuffer {}

impl std::ops::Deref for PooledBuffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        todo!()
    }
}
