//! Puts the chunks of a delta together.

use weir_proto::pb;

/// Chunks of the delta that is arriving. Upserts and removals stay in the order in which they came.
#[derive(Debug, Default)]
pub struct Chunks {
    partial: Option<pb::Delta>,
}

/// The control plane broke a rule of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a chunk of delta {found} came within delta {expected}")]
pub struct MixedNonces {
    expected: u64,
    found: u64,
}

impl Chunks {
    /// Takes the next chunk; gives the whole delta with its last one.
    ///
    /// # Errors
    /// If the chunk belongs to another delta than the ones before.
    pub fn push(&mut self, chunk: pb::Delta) -> Result<Option<pb::Delta>, MixedNonces> {
        let whole = match self.partial.take() {
            None => chunk,
            Some(partial) if partial.nonce == chunk.nonce => append(partial, chunk),
            Some(partial) => return Err(MixedNonces { expected: partial.nonce, found: chunk.nonce }),
        };
        if whole.last {
            return Ok(Some(whole));
        }
        self.partial = Some(whole);
        Ok(None)
    }
}

fn append(mut delta: pb::Delta, chunk: pb::Delta) -> pb::Delta {
    let pb::Delta { nonce: _, upserts, removed, last, snapshot_version } = chunk;
    delta.upserts.extend(upserts);
    delta.removed.extend(removed);
    delta.last = last;
    delta.snapshot_version = snapshot_version;
    delta
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(nonce: u64, name: &str, last: bool) -> pb::Delta {
        let key = pb::Key { name: name.into(), ..pb::Key::default() };
        let upserts = vec![pb::Resource { key: Some(key.clone()), ..pb::Resource::default() }];
        pb::Delta { nonce, upserts, removed: vec![key], last, snapshot_version: vec![u8::from(last)] }
    }

    #[test]
    fn chunks_of_one_nonce_are_one_delta() {
        let mut chunks = Chunks::default();
        assert_eq!(chunks.push(chunk(7, "a", false)), Ok(None));
        let whole = chunks.push(chunk(7, "b", true)).unwrap().unwrap();
        let names: Vec<_> = whole.removed.iter().map(|key| key.name.as_str()).collect();
        assert_eq!((names, whole.upserts.len(), whole.snapshot_version), (vec!["a", "b"], 2, vec![1]));
        assert!(chunks.push(chunk(8, "c", true)).unwrap().is_some());
    }

    #[test]
    fn a_chunk_of_another_delta_is_refused() {
        let mut chunks = Chunks::default();
        assert_eq!(chunks.push(chunk(7, "a", false)), Ok(None));
        assert_eq!(chunks.push(chunk(8, "b", true)), Err(MixedNonces { expected: 7, found: 8 }));
    }
}
