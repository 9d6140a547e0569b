//! Names of pages.
//!
//! Owns the page that they are kept in, which is a page like any other but that users do not see it. It holds, for each name
//! in ascending order, the length of the name (2 bytes), the name in UTF-8, and the id of the page (8), all little-endian.

use std::collections::BTreeMap;

use esker_format::Lsn;
use esker_page_table::{PageId, Version};

use crate::{Error, store::Inner};

/// The page of the names.
pub(crate) const META: PageId = PageId::MIN;

pub(crate) type Roots = BTreeMap<String, PageId>;

/// A change of what a name stands for.
#[derive(Clone, Debug)]
pub(crate) struct RootChange {
    pub(crate) name: String,
    pub(crate) expected: Option<PageId>,
    pub(crate) page: Option<PageId>,
}

impl Inner {
    /// The names, and the version of the page that they were read from.
    pub(crate) fn roots(&self) -> Result<(Option<Version>, Roots), Error> {
        let Some(page) = self.get(META)? else { return Ok((None, Roots::new())) };
        let damaged = Error::Damaged { page: META, lsn: Lsn::ZERO, reason: "a list of names that is none" };
        Ok((Some(page.version), decode(&page.content).ok_or(damaged)?))
    }

    /// The content of the page of the names after these changes, and the version that it is to replace.
    pub(crate) fn change_roots(&self, changes: &[RootChange]) -> Result<(Option<Version>, Vec<u8>), Error> {
        let (version, mut roots) = self.roots()?;
        for RootChange { name, expected, page } in changes {
            if name.len() > usize::from(u16::MAX) {
                return Err(Error::TooLarge { what: "name", len: name.len() as u64, max: u64::from(u16::MAX) });
            }
            let current = match page {
                Some(page) => roots.insert(name.clone(), *page),
                None => roots.remove(name),
            };
            if current != *expected {
                return Err(Error::RootConflict { name: name.clone(), expected: *expected, current });
            }
        }
        Ok((version, encode(&roots)))
    }
}

pub(crate) fn encode(roots: &Roots) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, page) in roots {
        bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&page.get().to_le_bytes());
    }
    bytes
}

fn decode(mut bytes: &[u8]) -> Option<Roots> {
    let mut roots = Roots::new();
    while !bytes.is_empty() {
        let (len, rest) = bytes.split_first_chunk::<2>()?;
        let (name, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
        let (page, rest) = rest.split_first_chunk::<8>()?;
        let page = PageId::new(u64::from_le_bytes(*page))?;
        roots.insert(String::from_utf8(name.to_vec()).ok()?, page);
        bytes = rest;
    }
    Some(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_as_they_were_encoded() {
        let roots: Roots = [("", 1), ("tree", 1 << 39), ("Übersicht", 7)]
            .map(|(name, page)| (name.to_owned(), PageId::new(page).unwrap()))
            .into();
        let bytes = encode(&roots);
        assert_eq!(decode(&bytes), Some(roots));
        assert_eq!(decode(&[]), Some(Roots::new()));
        for len in 1..bytes.len() {
            // Whole names are left, or nothing is.
            assert!(decode(&bytes[..len]).is_none_or(|roots| roots.len() < 3));
        }
        assert_eq!(decode(&[1, 0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]), None, "no UTF-8");
        assert_eq!(decode(&[0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff]), None, "no page id");
    }
}
