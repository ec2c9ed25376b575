//! The table of connections.
//!
//! Owns the connections and their names. A name is never used again for another connection.

use crate::connection::Connection;
use reactor::SocketId;
use rustc_hash::FxHashMap;

/// A connection's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ConnectionId {
    index: u32,
    generation: u32,
}

impl ConnectionId {
    /// The name as a number, for timers.
    pub(crate) fn to_token(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The name in a number made by [`ConnectionId::to_token`].
    pub(crate) fn from_token(token: u64) -> Self {
        ConnectionId { index: token as u32, generation: (token >> 32) as u32 }
    }
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    touched: bool,
    connection: Option<Box<Connection>>,
}

/// All connections of a shard.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_socket: FxHashMap<SocketId, ConnectionId>,
    /// Connections that have something to send, or a timer to set.
    touched: Vec<u32>,
}

impl Connections {
    /// Adds a connection.
    pub(crate) fn insert(&mut self, connection: Connection) -> ConnectionId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        let id = ConnectionId { index, generation: slot.generation };
        self.by_socket.insert(connection.socket, id);
        slot.connection = Some(Box::new(connection));
        if !std::mem::replace(&mut slot.touched, true) {
            self.touched.push(index);
        }
        id
    }

    /// The connection on a socket.
    pub(crate) fn by_socket(&self, socket: SocketId) -> Option<ConnectionId> {
        self.by_socket.get(&socket).copied()
    }

    /// The connection, without having it looked at again.
    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation == id.generation { slot.connection.as_deref_mut() } else { None }
    }

    /// The connection, which is then looked at for output at the end of the turn.
    pub(crate) fn touch(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        let connection = slot.connection.as_deref_mut()?;
        if !std::mem::replace(&mut slot.touched, true) {
            self.touched.push(id.index);
        }
        Some(connection)
    }

    /// The connection, only to look at.
    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        let slot = self.slots.get(id.index as usize)?;
        if slot.generation == id.generation { slot.connection.as_deref() } else { None }
    }

    /// Takes a connection out for a while, so that it and the table can both be changed. Put it back.
    pub(crate) fn take(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation == id.generation { slot.connection.take() } else { None }
    }

    /// Puts a connection back that was taken.
    pub(crate) fn put_back(&mut self, id: ConnectionId, connection: Box<Connection>) {
        let slot = &mut self.slots[id.index as usize];
        assert!(slot.generation == id.generation && slot.connection.is_none(), "put back where it was taken");
        slot.connection = Some(connection);
        if !std::mem::replace(&mut slot.touched, true) {
            self.touched.push(id.index);
        }
    }

    /// Puts a connection back that was only sent from: it need not be looked at again.
    pub(crate) fn restore(&mut self, id: ConnectionId, connection: Box<Connection>) {
        let slot = &mut self.slots[id.index as usize];
        assert!(slot.generation == id.generation && slot.connection.is_none(), "put back where it was taken");
        slot.connection = Some(connection);
    }

    /// Removes a connection for good.
    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        let connection = self.take(id)?;
        let slot = &mut self.slots[id.index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        self.by_socket.remove(&connection.socket);
        Some(connection)
    }

    /// The next connection that was touched since it was last given here.
    pub(crate) fn next_touched(&mut self) -> Option<ConnectionId> {
        let index = self.touched.pop()?;
        let slot = &mut self.slots[index as usize];
        slot.touched = false;
        Some(ConnectionId { index, generation: slot.generation })
    }

    /// The names of all connections.
    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        let used = |(index, slot): (usize, &Slot)| {
            slot.connection.as_ref().map(|_| ConnectionId { index: index as u32, generation: slot.generation })
        };
        self.slots.iter().enumerate().filter_map(used).collect()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_socket.len()
    }
}
