//! Reading: guest offsets to clusters, compressed ones, and what shows through.

use super::Qcow2;
use super::entry::{Mapping, damaged};
use crate::Extent;
use std::io;

impl Qcow2 {
    /// What is at `offset`, and how many bytes of at most `most` go on like that.
    /// `most` is positive.
    pub(super) fn run(&mut self, offset: u64, most: u64) -> io::Result<(Mapping, u64)> {
        let most = most.min(self.left_in_table(offset));
        let table = self.l2_at(offset);
        if table == 0 {
            return Ok((Mapping::Unallocated, most));
        }
        let (bits, version) = (self.header.cluster_bits, self.header.version);
        let (index, cluster) = (self.l2_index(offset), self.header.cluster());
        let lead = self.in_cluster(offset);
        let page = self.l2.load(&self.host, table)?;
        let first = Mapping::of(page.entry(index), bits, version)?;
        let mut count = 1;
        while count * cluster - lead < most
            && Mapping::of(page.entry(index + count), bits, version)?
                .continues(first, count, cluster)
        {
            count += 1;
        }
        Ok((first, most.min(count * cluster - lead)))
    }

    /// Fills `bytes` from `offset` on, which lie in the disk.
    pub(crate) fn read(&mut self, mut offset: u64, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (mapping, len) = self.run(offset, bytes.len() as u64)?;
            let (part, rest) = std::mem::take(&mut bytes).split_at_mut(len as usize);
            let lead = self.in_cluster(offset);
            match mapping {
                Mapping::Unallocated => self.read_backing(offset, part)?,
                Mapping::Zero { .. } => part.fill(0),
                Mapping::Data { host, .. } => self.read_data(host, lead, part)?,
                Mapping::Compressed { at, len } => {
                    let start = offset - lead;
                    let whole = self.unpack(start, at, len)?;
                    let from = whole.get(lead as usize..).unwrap_or_default();
                    let from = from.get(..part.len()).ok_or_else(too_short)?;
                    part.copy_from_slice(from);
                }
            }
            bytes = rest;
            offset += len;
        }
        Ok(())
    }

    /// Reads data clusters. A file may end in the middle of its last cluster, the rest
    /// of which is zeros; that a cluster begins behind the end is an error.
    fn read_data(&self, host: u64, lead: u64, bytes: &mut [u8]) -> io::Result<()> {
        let offset = host.saturating_add(lead);
        let got = self.host.read_most(bytes, offset)?;
        let Some(missing) = bytes.get_mut(got..).filter(|rest| !rest.is_empty()) else {
            return Ok(());
        };
        let end = offset.saturating_add((got + missing.len()) as u64);
        let last = end.saturating_sub(1) & !(self.header.cluster() - 1);
        // Asked anew: somebody may have cut the file meanwhile.
        if self.host.now()? <= last {
            return Err(too_short());
        }
        missing.fill(0);
        Ok(())
    }

    /// Reads what shows through where this image has nothing.
    fn read_backing(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        match &mut self.backing {
            Some(backing) => backing.read_padded(offset, bytes),
            None => {
                bytes.fill(0);
                Ok(())
            }
        }
    }

    /// The contents of a compressed cluster, which is guest cluster `start`.
    pub(super) fn unpack(&mut self, start: u64, at: u64, len: u64) -> io::Result<&[u8]> {
        let kept = self.unpacked.take().filter(|(of, _)| *of == start);
        let whole = match kept {
            Some((_, whole)) => whole,
            None => {
                let mut packed = vec![0; len as usize];
                let got = self.host.read_most(&mut packed, at)?;
                packed.truncate(got);
                decompress(&packed, self.header.cluster() as usize, self.header.zstd)?
            }
        };
        let (_, whole) = self.unpacked.insert((start, whole));
        Ok(whole)
    }

    /// What a read at `offset` finds, and how far that goes.
    pub(crate) fn extent(&mut self, offset: u64, most: u64) -> io::Result<(Extent, u64)> {
        let (mapping, len) = self.run(offset, most)?;
        Ok(match (mapping, &mut self.backing) {
            (Mapping::Unallocated, Some(backing)) => backing.extent_padded(offset, len)?,
            (Mapping::Unallocated | Mapping::Zero { .. }, _) => (Extent::Zero, len),
            (Mapping::Data { .. } | Mapping::Compressed { .. }, _) => (Extent::Data, len),
        })
    }
}

fn too_short() -> io::Error {
    damaged("a cluster is not in the file")
}

/// Unpacks exactly `size` bytes.
fn decompress(packed: &[u8], size: usize, zstd: bool) -> io::Result<Vec<u8>> {
    let mut whole = vec![0; size];
    if zstd {
        use std::io::Read;
        let decoder = ruzstd::decoding::StreamingDecoder::new(packed);
        let mut decoder = decoder.map_err(|_| damaged("a compressed cluster is no zstd"))?;
        decoder.read_exact(&mut whole)?;
        return Ok(whole);
    }
    // Raw deflate, without zlib's header.
    let mut inflater = flate2::Decompress::new(false);
    let result = inflater.decompress(packed, &mut whole, flate2::FlushDecompress::Finish);
    if result.is_err() || inflater.total_out() != size as u64 {
        return Err(damaged("a compressed cluster is no deflate"));
    }
    Ok(whole)
}
