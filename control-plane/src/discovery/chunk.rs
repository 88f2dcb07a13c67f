//! Cuts a delta into messages: tonic decodes at most 4 MiB, and a large message holds up all that is behind
//! it. Each is cut when there is room to send it, so that a delta that waits takes no memory of its own.

use std::sync::Arc;

use prost::Message;
use weir_proto::version::Version;
use weir_proto::{encoded, pb};

use crate::held::Delta;

/// Most encoded bytes of a chunk; a resource that is larger by itself gets a chunk of its own. The buffer in which
/// tonic encoded the last one stays with the stream, so with 1,000 proxies 512 KiB a chunk came to 700 MiB.
pub(super) const MAX_CHUNK: usize = 32 << 10;

/// Room for nonce, version, `last`, and the tag and length of an item.
const FRAME: usize = 48;
const ITEM: usize = 8;

/// The messages of one delta; at least one, the last marked.
#[derive(Debug)]
pub(super) struct Chunks {
    delta: Arc<Delta>,
    nonce: u64,
    snapshot: Version,
    /// How many upserts and removals are in chunks.
    upserts: usize,
    removed: usize,
    is_done: bool,
}

impl Chunks {
    pub(super) fn new(delta: Arc<Delta>, nonce: u64, snapshot: Version) -> Self {
        Self { delta, nonce, snapshot, upserts: 0, removed: 0, is_done: false }
    }

    /// Whether the last chunk is cut.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }
}

impl Iterator for Chunks {
    type Item = encoded::Delta;

    fn next(&mut self) -> Option<encoded::Delta> {
        if self.is_done {
            return None;
        }
        let Delta { upserts: all_upserts, removed: all_removed } = &*self.delta;
        let mut room = Room::default();
        let upserts = all_upserts[self.upserts..].iter().map(|(_, entry)| &entry.encoded);
        let upserts: Vec<_> = upserts.take_while(|encoded| room.take(encoded.len())).cloned().collect();
        self.upserts += upserts.len();
        let no_more = if self.upserts == all_upserts.len() { all_removed.len() } else { self.removed };
        let removed = all_removed[self.removed..no_more].iter().map(pb::Key::from);
        let removed: Vec<_> = removed.take_while(|key| room.take(key.encoded_len())).collect();
        self.removed += removed.len();
        self.is_done = self.upserts == all_upserts.len() && self.removed == all_removed.len();
        let snapshot_version = self.snapshot.to_wire();
        Some(encoded::Delta { nonce: self.nonce, upserts, removed, last: self.is_done, snapshot_version })
    }
}

/// What is in a chunk already.
struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(FRAME)
    }
}

impl Room {
    /// Takes the room of an item if it is there; anything fits into an empty chunk.
    fn take(&mut self, item: usize) -> bool {
        let fits = self.0 == FRAME || self.0 + item + ITEM <= MAX_CHUNK;
        self.0 += item + ITEM;
        fits
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::time::Instant;

    use super::*;
    use crate::held::Held;
    use crate::snapshot::{Patch, Snapshot};
    use crate::testing::key;

    fn snapshot(count: usize, label: usize) -> Arc<Snapshot> {
        let upserts = (0..count).map(|i| {
            let labels = BTreeMap::from([("l".to_owned(), "x".repeat(label))]);
            let body = pb::resource::Body::Backend(pb::Backend { labels, ..Default::default() });
            (key("Backend", &format!("b{i}")), body)
        });
        let patch = Patch { upserts: upserts.collect(), ..Patch::default() };
        let empty = Snapshot::empty(Instant::now());
        Arc::new(empty.next(patch, Instant::now()).unwrap_or(empty))
    }

    /// The chunks from one snapshot to another, as the proxy decodes them.
    fn chunks(from: &Arc<Snapshot>, to: &Arc<Snapshot>) -> Vec<pb::Delta> {
        let held = Held::new(Arc::default(), from.entries().map(|(key, entry)| (key.clone(), entry.version)));
        let chunks = Chunks::new(held.step(to, |_, _| false).delta, 7, to.version());
        chunks.map(|chunk| pb::Delta::decode(&*chunk.encode_to_vec()).unwrap()).collect()
    }

    #[test]
    fn rule_7_no_chunk_is_larger_than_512_kib_and_only_the_last_is_marked() {
        let (none, snapshot) = (snapshot(0, 0), snapshot(2_000, 1_000));
        let chunks = chunks(&none, &snapshot);
        assert!(chunks.len() >= 4);
        assert!(chunks.iter().all(|c| c.encoded_len() <= MAX_CHUNK && c.nonce == 7));
        assert!(chunks.iter().all(|c| c.snapshot_version == snapshot.version().as_bytes()));
        assert_eq!(chunks.iter().map(|c| c.upserts.len()).sum::<usize>(), 2_000);
        assert_eq!(chunks.iter().filter(|c| c.last).count(), 1);
        assert!(chunks.last().unwrap().last);
    }

    #[test]
    fn rule_7_removals_are_cut_like_upserts() {
        let chunks = chunks(&snapshot(40_000, 0), &snapshot(0, 0));
        assert!(chunks.len() >= 2 && chunks.iter().all(|c| c.encoded_len() <= MAX_CHUNK));
        assert_eq!(chunks.iter().map(|c| c.removed.len()).sum::<usize>(), 40_000);
        assert_eq!(chunks.iter().filter(|c| c.last).count(), 1);
    }

    #[test]
    fn rule_7_a_resource_larger_than_a_chunk_travels_alone() {
        let chunks = chunks(&snapshot(0, 0), &snapshot(3, 600 << 10));
        assert_eq!(chunks.iter().map(|c| c.upserts.len()).collect::<Vec<_>>(), [1, 1, 1]);
    }

    #[test]
    fn an_empty_delta_is_one_chunk() {
        let chunks = chunks(&snapshot(0, 0), &snapshot(0, 0));
        assert!(matches!(&chunks[..], [only] if only.last && only.upserts.is_empty()));
    }

    #[test]
    fn a_resource_that_is_encoded_already_arrives_as_it_was() {
        let chunks = chunks(&snapshot(0, 0), &snapshot(1, 3));
        let [resource] = &chunks[0].upserts[..] else { panic!("{chunks:?}") };
        assert_eq!(resource.key.as_ref(), Some(&pb::Key::from(&key("Backend", "b0"))));
        let Some(pb::resource::Body::Backend(backend)) = &resource.body else { panic!("{resource:?}") };
        assert_eq!(backend.labels["l"], "xxx");
        assert_eq!(resource.version, Version::of(resource.body.as_ref().unwrap()).as_bytes());
    }
}
