//! Which names a storage accepts.
//!
//! Owns the rule, which is the same on every system, so that a directory written on one can be opened on another.
//! Refuses nothing by trying it: a name is judged by its text alone.
//!
//! # Invariants
//!
//! - **N1:** a name that passes [`check_name`], joined to a directory's path, names an entry of that very directory.

use std::io;

/// The longest name in bytes, as on most file systems.
pub const NAME_BYTES_MAX: usize = 255;

/// Why a name was refused; found as the source inside an [`io::Error`] of kind [`io::ErrorKind::InvalidInput`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// The name has no characters.
    #[error("a file name must not be empty")]
    Empty,
    /// The name has more than [`NAME_BYTES_MAX`] bytes.
    #[error("a file name of {bytes} bytes is longer than {NAME_BYTES_MAX}")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The name is `.` or `..`, which mean directories.
    #[error("'.' and '..' are not file names")]
    Relative,
    /// The name holds a separator or another character that some system does not take in a name.
    #[error("a file name must not contain {character:?}")]
    Character {
        /// The first such character.
        character: char,
    },
    /// The name ends in a dot or a space, which Windows silently drops.
    #[error("a file name must not end in a dot or a space")]
    Ending,
    /// The name is, with or without an extension, that of a device on Windows.
    #[error("the file name means a device on some systems")]
    Device,
}

/// Whether `name` may be used as the name of a file: not empty, at most [`NAME_BYTES_MAX`] bytes, not `.` or `..`, no
/// control characters, none of `/ \ : * ? " < > |`, no dot or space at its end, not a device name of Windows.
///
/// Two names that differ only in case may or may not be the same file; a portable caller does not use both.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] with an [`InvalidName`] inside.
pub fn check_name(name: &str) -> io::Result<()> {
    match fault(name) {
        None => Ok(()),
        Some(invalid) => Err(io::Error::new(io::ErrorKind::InvalidInput, invalid)),
    }
}

fn fault(name: &str) -> Option<InvalidName> {
    if name.is_empty() {
        return Some(InvalidName::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Some(InvalidName::TooLong { bytes: name.len() });
    }
    if name == "." || name == ".." {
        return Some(InvalidName::Relative);
    }
    let refused = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
    if let Some(character) = name.chars().find(|&c| refused(c)) {
        return Some(InvalidName::Character { character });
    }
    if name.ends_with(['.', ' ']) {
        return Some(InvalidName::Ending);
    }
    is_device(name).then_some(InvalidName::Device)
}

/// Whether Windows would open a device instead of a file: `NUL`, `nul.txt`, `COM1`, ….
fn is_device(name: &str) -> bool {
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    let plain = ["con", "prn", "aux", "nul"];
    let numbered = ["com", "lpt"];
    plain.iter().any(|device| stem.eq_ignore_ascii_case(device))
        || stem.len() == 4
            && stem.is_char_boundary(3)
            && numbered.iter().any(|device| stem[..3].eq_ignore_ascii_case(device))
            && matches!(stem.as_bytes()[3], b'1'..=b'9')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_alike_on_every_system() {
        let long = "n".repeat(NAME_BYTES_MAX + 1);
        let refused = [
            ("", InvalidName::Empty),
            (long.as_str(), InvalidName::TooLong { bytes: NAME_BYTES_MAX + 1 }),
            (".", InvalidName::Relative),
            ("..", InvalidName::Relative),
            ("a/b", InvalidName::Character { character: '/' }),
            ("/", InvalidName::Character { character: '/' }),
            ("..\\up", InvalidName::Character { character: '\\' }),
            ("log:stream", InvalidName::Character { character: ':' }),
            ("nul\0byte", InvalidName::Character { character: '\0' }),
            ("line\nbreak", InvalidName::Character { character: '\n' }),
            ("log.", InvalidName::Ending),
            ("log ", InvalidName::Ending),
            ("NUL", InvalidName::Device),
            ("con.txt", InvalidName::Device),
            ("LPT9", InvalidName::Device),
        ];
        for (name, expected) in refused {
            let error = check_name(name).expect_err(name);
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name:?}");
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<InvalidName>());
            assert_eq!(inner, Some(&expected), "{name:?}");
        }
        let accepted =
            ["log", "superblock.tmp", ".hidden", "...a", "blob-00-01", "com0", "com10", "nulls", "süß", "日本"];
        for name in accepted.into_iter().chain([&long[..NAME_BYTES_MAX]]) {
            check_name(name).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        }
    }
}
