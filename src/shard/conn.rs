//! The writer of one connection. It knows octets, not MSRP.
//!
//! One per connection, started when there is something to write for the first time. It takes what
//! the queue holds as one batch, hands it to the ring as one write, and sleeps when nothing waits.
//! (Reading needs no task: see [`super::run`].)

use super::io::{self, Vectored};
use super::queue::{Batch, Piece};
use super::run::Shard;
use crate::base::clock;
use crate::base::id::ConnId;
use monoio::io::AsyncWriteRent;
use monoio::net::TcpStream;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Wakes one task of this thread. Set while nobody waits, it is remembered.
#[derive(Debug, Default)]
pub(super) struct Signal {
    set: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Signal {
    /// Wakes the waiting task, or lets the next wait end at once.
    pub(super) fn notify(&self) {
        self.set.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Waits for [`Signal::notify`].
    pub(super) async fn wait(&self) {
        poll_fn(|cx| {
            if self.set.take() {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Writes whatever is queued for `id`, until the connection is closing and its queue is empty, or
/// the peer takes no more.
pub(super) async fn write_loop(shard: Rc<Shard>, id: ConnId, mut stream: TcpStream, signal: Rc<Signal>) {
    let mut table = Vec::new();
    loop {
        let batch = shard.take_batch(id);
        if !batch.is_empty() {
            if !write_batch(&shard, id, &mut stream, batch, &mut table).await {
                break;
            }
        } else if shard.is_closing(id) {
            break;
        } else {
            signal.wait().await;
        }
    }
    shard.finished(id, stream);
}

/// Writes a batch to its end. False if the connection is gone.
async fn write_batch(
    shard: &Rc<Shard>,
    id: ConnId,
    stream: &mut TcpStream,
    mut batch: Batch,
    table: &mut Vec<libc::iovec>,
) -> bool {
    let len = io::batch_len(&batch);
    let mut done = 0;
    while done < len {
        let (result, back) = match batch.first() {
            // The usual case, for which the ring needs no table.
            Some(Piece::Own(_)) if batch.len() == 1 && done == 0 => write_one(stream, batch).await,
            _ => {
                let vectored = Vectored::new(batch, done, std::mem::take(table));
                let (result, vectored) = stream.writev(vectored).await;
                let (pieces, t) = vectored.into_parts();
                *table = t;
                (result, pieces)
            }
        };
        batch = back;
        match result {
            Ok(n) if n > 0 => {
                done += n;
                shard.turn(|core, now| core.wrote(now, id, n));
            }
            _ => return false,
        }
    }
    shard.recycle(batch);
    true
}

async fn write_one(stream: &mut TcpStream, mut batch: Batch) -> (std::io::Result<usize>, Batch) {
    let Some(Piece::Own(buffer)) = batch.pop() else { return (Ok(0), batch) };
    let (result, buffer) = stream.write(buffer).await;
    batch.push(Piece::Own(buffer));
    (result, batch)
}

/// The time of a turn.
pub(super) fn now() -> clock::Now {
    clock::now()
}
