//! The kernel backend.

mod recv_buffers;
mod setup;

pub(crate) use recv_buffers::PooledBuffer;
pub use setup::{Config, SetupError};

use crate::event::{Event, ListenerId, SocketId};
use bytes::Bytes;
use disk::{DiskRequest, Nanos};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

#[derive(Debug)]
pub(crate) struct Uring {}

impl Uring {
    pub(crate) fn new(_config: Config) -> Result<Self, SetupError> {
        todo!()
    }
    pub(crate) fn now(&self) -> Nanos {
        todo!()
    }
    pub(crate) fn listen(&mut self, _address: SocketAddr) -> io::Result<(ListenerId, SocketAddr)> {
        todo!()
    }
    pub(crate) fn close_listener(&mut self, _listener: ListenerId) {
        todo!()
    }
    pub(crate) fn connect(&mut self, _address: SocketAddr) -> SocketId {
        todo!()
    }
    pub(crate) fn send(&mut self, _socket: SocketId, _chunks: Vec<Bytes>) {
        todo!()
    }
    pub(crate) fn close(&mut self, _socket: SocketId) {
        todo!()
    }
    pub(crate) fn finish(&mut self, _socket: SocketId) {
        todo!()
    }
    pub(crate) fn pause_receive(&mut self, _socket: SocketId) {
        todo!()
    }
    pub(crate) fn resume_receive(&mut self, _socket: SocketId) {
        todo!()
    }
    pub(crate) fn submit_disk(&mut self, _request: DiskRequest) {
        todo!()
    }
    pub(crate) fn set_sync_delay(&mut self, _delay: Nanos) {
        todo!()
    }
    pub(crate) fn set_timer(&mut self, _at: Nanos, _token: u64) {
        todo!()
    }
    pub(crate) fn watch_signals(&mut self) -> io::Result<()> {
        todo!()
    }
    pub(crate) fn wait(&mut self, _events: &mut VecDeque<Event>) -> io::Result<()> {
        todo!()
    }
}
