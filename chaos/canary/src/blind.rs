//! Skips the ownership check: each look at the slot of the next epoch finds it unclaimed, and the other server is not listened to.
//!
//! A server that was stopped while the other one took over then goes on confirming when it wakes up.

use crate::layer::{Below, Meddler};
use bytes::Bytes;
use disk::{BLOCK_SIZE, DiskOp, DiskRequest, FileId, OpenMode, Outcome};
use reactor::SocketId;
use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Files through which the broker would learn that somebody else owns the store.
#[derive(Debug, Default)]
pub(crate) struct Blind {
    slots: HashSet<FileId>,
    /// Where connections to the other server end: nobody accepts here.
    silence: Option<TcpListener>,
}

impl Meddler for Blind {
    fn disk(&mut self, below: &mut Below, request: DiskRequest) {
        match &request.op {
            DiskOp::Open { file, path, mode } => {
                let is_slot = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("slot."));
                if is_slot && *mode == OpenMode::Read {
                    self.slots.insert(*file);
                } else {
                    self.slots.remove(file);
                }
            }
            DiskOp::Read { file, .. } if self.slots.contains(file) => {
                return below.answer(request.id, Outcome::Data(unclaimed()));
            }
            _ => {}
        }
        below.reactor.submit_disk(request);
    }

    /// Both servers of the pair are blind, so that none of them reaches the other.
    fn connect(&mut self, below: &mut Below, address: SocketAddr) -> SocketId {
        if self.silence.is_none() {
            self.silence = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok();
        }
        let nobody = self.silence.as_ref().and_then(|listener| listener.local_addr().ok());
        below.reactor.connect(nobody.unwrap_or(address))
    }
}

fn unclaimed() -> Bytes {
    let mut block = reactor::buffer::aligned(BLOCK_SIZE);
    block.resize(BLOCK_SIZE, 0);
    block.freeze()
}
