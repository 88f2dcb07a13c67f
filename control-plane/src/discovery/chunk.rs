//! Cuts a delta into messages: tonic decodes at most 4 MiB, and a large message holds up all that is behind
//! it.

use prost::Message;
use weir_proto::pb;
use weir_proto::version::Version;

use crate::snapshot::Delta;

/// Most encoded bytes of a chunk; a resource that is larger by itself gets a chunk of its own.
pub(super) const MAX_CHUNK: usize = 512 << 10;

/// Room for nonce, version, `last`, and the tag and length of an item.
const FRAME: usize = 48;
const ITEM: usize = 8;

/// The messages of one delta; at least one, the last marked.
pub(super) fn chunks(delta: &Delta, nonce: u64, snapshot: Version) -> Vec<pb::Delta> {
    let mut cutter = Cutter { nonce, snapshot, size: FRAME, done: Vec::new(), open: pb::Delta::default() };
    for (_, entry) in &delta.upserts {
        cutter.make_room(entry.size);
        cutter.open.upserts.push(entry.resource.clone());
    }
    for key in &delta.removed {
        let key = pb::Key::from(key);
        cutter.make_room(key.encoded_len());
        cutter.open.removed.push(key);
    }
    cutter.cut(true);
    cutter.done
}

struct Cutter {
    nonce: u64,
    snapshot: Version,
    size: usize,
    done: Vec<pb::Delta>,
    open: pb::Delta,
}

impl Cutter {
    fn make_room(&mut self, item: usize) {
        let is_empty = self.size == FRAME;
        if !is_empty && self.size + item + ITEM > MAX_CHUNK {
            self.cut(false);
        }
        self.size += item + ITEM;
    }

    fn cut(&mut self, last: bool) {
        let pb::Delta { upserts, removed, .. } = std::mem::take(&mut self.open);
        let snapshot_version = self.snapshot.to_wire();
        self.done.push(pb::Delta { nonce: self.nonce, upserts, removed, last, snapshot_version });
        self.size = FRAME;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::time::Instant;

    use super::*;
    use crate::snapshot::{Patch, Snapshot};
    use crate::testing::key;

    fn snapshot(count: usize, label: usize) -> Snapshot {
        let upserts = (0..count).map(|i| {
            let labels = BTreeMap::from([("l".to_owned(), "x".repeat(label))]);
            let body = pb::resource::Body::Backend(pb::Backend { labels, ..Default::default() });
            (key("Backend", &format!("b{i}")), body)
        });
        let patch = Patch { upserts: upserts.collect(), ..Patch::default() };
        Snapshot::empty(Instant::now()).next(patch, Instant::now()).unwrap()
    }

    #[test]
    fn rule_7_no_chunk_is_larger_than_512_kib_and_only_the_last_is_marked() {
        let snapshot = snapshot(2_000, 1_000);
        let chunks = chunks(&snapshot.delta(&BTreeMap::new()), 7, snapshot.version());
        assert!(chunks.len() >= 4);
        assert!(chunks.iter().all(|c| c.encoded_len() <= MAX_CHUNK && c.nonce == 7));
        assert_eq!(chunks.iter().map(|c| c.upserts.len()).sum::<usize>(), 2_000);
        assert_eq!(chunks.iter().filter(|c| c.last).count(), 1);
        assert!(chunks.last().unwrap().last);
    }

    #[test]
    fn rule_7_a_resource_larger_than_a_chunk_travels_alone() {
        let snapshot = snapshot(3, 600 << 10);
        let chunks = chunks(&snapshot.delta(&BTreeMap::new()), 1, snapshot.version());
        assert_eq!(chunks.iter().map(|c| c.upserts.len()).collect::<Vec<_>>(), [1, 1, 1]);
    }

    #[test]
    fn an_empty_delta_is_one_chunk() {
        let chunks = chunks(&Delta::default(), 1, Version::of_parts([]));
        assert!(matches!(&chunks[..], [only] if only.last && only.upserts.is_empty()));
    }
}
