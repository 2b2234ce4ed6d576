//! The thread that does a disk's work.

use super::Buffers;
use isoform_devices::block::{BlockOp, BlockRequest, IoError};
use isoform_disk::Image;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

/// Answers a request.
pub type Answer = Result<Vec<u8>, IoError>;

/// A disk's thread. Dropped, it finishes what was asked of it.
#[derive(Debug)]
pub struct Worker {
    requests: Sender<Option<BlockRequest>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Works on `image`; each request's id and answer go to `done`.
    pub fn start(
        mut image: Image,
        buffers: Buffers,
        done: impl Fn(u64, Answer) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (requests, queue) = channel::<Option<BlockRequest>>();
        let thread = std::thread::Builder::new()
            .name("disk".into())
            .spawn(move || {
                // `None` is the end, whoever may still hold a sender.
                for BlockRequest { id, op } in queue.into_iter().map_while(|request| request) {
                    done(id, perform(&mut image, op, &buffers));
                }
            })?;
        Ok(Self {
            requests,
            thread: Some(thread),
        })
    }

    /// Where requests go.
    pub fn requests(&self) -> Sender<Option<BlockRequest>> {
        self.requests.clone()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A thread that is gone has panicked, which has been reported.
        let _ = self.requests.send(None);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Does one piece of work, here and now, its data in `buffers`.
pub fn perform(image: &mut Image, op: BlockOp, buffers: &Buffers) -> Answer {
    let result = match op {
        BlockOp::Read { sector, len } => {
            let mut bytes = buffers.take(len);
            image.read(sector, &mut bytes).map(|()| bytes)
        }
        BlockOp::Write {
            sector,
            data,
            through,
        } => {
            let written = image.write(sector, &data);
            buffers.give_back(data);
            let durable = if through {
                written.and_then(|()| image.flush())
            } else {
                written
            };
            durable.map(|()| Vec::new())
        }
        BlockOp::Discard { sector, sectors } => image.discard(sector, sectors).map(|()| Vec::new()),
        BlockOp::WriteZeroes {
            sector,
            sectors,
            unmap,
            through,
        } => {
            let zeroed = image.write_zeroes(sector, sectors, unmap);
            let durable = if through {
                zeroed.and_then(|()| image.flush())
            } else {
                zeroed
            };
            durable.map(|()| Vec::new())
        }
        BlockOp::Flush => image.flush().map(|()| Vec::new()),
    };
    result.map_err(|e| {
        log::warn!("disk: {e}");
        IoError
    })
}
