//! A small persistent hash map on the page store: `cargo run -p esker-pages --example hash_map DIR KEY [VALUE]`.
//!
//! The directory of the map is a page that the name "map" stands for: the ids of all buckets. Each bucket is a page that holds
//! its entries one after the other. A change of a bucket is a compare-and-swap, so that many threads may change the map at
//! once; the buckets and their directory are made in one batch, so that there are all of them or none.
#![expect(clippy::print_stdout, reason = "an example that shows its findings")]

use std::{
    error::Error,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use esker_pages::{Batch, Options, PageId, Store, Version, storage::FileStorage};

type Fallible<T> = Result<T, Box<dyn Error>>;

const BUCKETS: usize = 64;

struct HashMap {
    store: Store,
    buckets: Vec<PageId>,
}

impl HashMap {
    fn open(dir: &str) -> Fallible<Self> {
        let store = Store::open(Arc::new(FileStorage::create(dir)?), Options::new())?;
        let buckets = match store.root("map")? {
            Some(directory) => {
                let page = store.get(directory)?.ok_or("the directory is not there")?;
                let ids =
                    page.content.chunks_exact(8).map(|id| u64::from_le_bytes(id.try_into().expect("eight bytes")));
                ids.map(|id| PageId::new(id).ok_or("no id of a page".into())).collect::<Fallible<Vec<_>>>()?
            }
            None => {
                let buckets = (0..BUCKETS).map(|_| store.allocate()).collect::<Result<Vec<_>, _>>()?;
                let directory = store.allocate()?;
                let ids: Vec<u8> = buckets.iter().flat_map(|id| id.get().to_le_bytes()).collect();
                let mut batch = Batch::new();
                for &bucket in &buckets {
                    batch.replace(bucket, None, []);
                }
                batch.replace(directory, None, ids).set_root("map", None, Some(directory));
                store.apply(&batch)?;
                buckets
            }
        };
        Ok(Self { store, buckets })
    }

    fn get(&self, key: &str) -> Fallible<Option<String>> {
        let (_, entries) = self.read(self.bucket(key))?;
        Ok(entries.into_iter().find(|(other, _)| other == key).map(|(_, value)| value))
    }

    fn insert(&self, key: &str, value: &str) -> Fallible<Option<String>> {
        let bucket = self.bucket(key);
        loop {
            let (version, mut entries) = self.read(bucket)?;
            let at = entries.iter().position(|(other, _)| other == key);
            let before = at.map(|at| entries.swap_remove(at).1);
            entries.push((key.to_owned(), value.to_owned()));
            match self.store.replace(bucket, Some(version), &encode(&entries)) {
                Ok(_) => return Ok(before),
                // Somebody else has changed the bucket: again, with what is there now.
                Err(error) if error.conflict().is_some() => (),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn bucket(&self, key: &str) -> PageId {
        // Always the same for a key, from process to process; a map that is to last longer would name its function.
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        self.buckets[hasher.finish() as usize % self.buckets.len()]
    }

    fn read(&self, bucket: PageId) -> Fallible<(Version, Vec<(String, String)>)> {
        let page = self.store.get(bucket)?.ok_or("a bucket is not there")?;
        Ok((page.version, decode(&page.content)?))
    }
}

/// Each text after its length.
fn encode(entries: &[(String, String)]) -> Vec<u8> {
    let texts = entries.iter().flat_map(|(key, value)| [key, value]);
    texts.flat_map(|text| [&(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()).collect()
}

fn decode(mut bytes: &[u8]) -> Fallible<Vec<(String, String)>> {
    let mut text = || -> Fallible<String> {
        let (len, rest) = bytes.split_first_chunk().ok_or("a length is cut")?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or("a text is cut")?;
        bytes = rest;
        Ok(String::from_utf8(text.to_vec())?)
    };
    let mut texts = Vec::new();
    while let Ok(next) = text() {
        texts.push(next);
    }
    Ok(texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
}

fn main() -> Fallible<()> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: hash_map DIR KEY [VALUE]";
    let (dir, key) = (args.next().ok_or(usage)?, args.next().ok_or(usage)?);
    let map = HashMap::open(&dir)?;
    match args.next() {
        Some(value) => {
            let before = map.insert(&key, &value)?;
            // It is there from now on, whatever happens.
            map.store.flush()?;
            println!("{key} is {value}; it was {}", before.as_deref().unwrap_or("nothing"));
        }
        None => println!("{key} is {}", map.get(&key)?.as_deref().unwrap_or("nothing")),
    }
    map.store.close()?;
    Ok(())
}
