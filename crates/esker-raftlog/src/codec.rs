//! How values become bytes, for adapters to a consensus library.

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

/// A way to write values as bytes and to read them again.
///
/// A log must be read with the codec that it was written with: nothing in it says which one that was.
pub trait Codec: 'static {
    /// A value as bytes.
    ///
    /// # Errors
    ///
    /// [`CodecError`] if the value has no such form: a map without string keys in JSON, say.
    fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError>;

    /// The value that was written as these bytes.
    ///
    /// # Errors
    ///
    /// [`CodecError`] if they are no such value.
    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError>;
}

/// Bytes are no such value, or a value cannot be written.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{reason}")]
pub struct CodecError {
    /// What the codec says.
    reason: String,
}

impl CodecError {
    /// An error with what is to be said of it.
    #[must_use]
    pub fn new(reason: impl ToString) -> Self {
        Self { reason: reason.to_string() }
    }
}

/// Values as JSON: larger and slower than [`Postcard`], but types may gain optional fields, and people can read it.
#[cfg(feature = "json")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json;

#[cfg(feature = "json")]
impl Codec for Json {
    fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
        serde_json::to_vec(value).map_err(CodecError::new)
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
        serde_json::from_slice(bytes).map_err(CodecError::new)
    }
}

/// Values as [postcard](https://docs.rs/postcard) writes them: small, without names, so that types must not change.
#[cfg(feature = "postcard")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Postcard;

#[cfg(feature = "postcard")]
impl Codec for Postcard {
    fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
        postcard::to_stdvec(value).map_err(CodecError::new)
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
        let (value, rest) = postcard::take_from_bytes(bytes).map_err(CodecError::new)?;
        if rest.is_empty() { Ok(value) } else { Err(CodecError::new("there are bytes behind the value")) }
    }
}

#[cfg(all(test, feature = "json", feature = "postcard"))]
mod tests {
    use super::{Codec, Json, Postcard};

    fn check<C: Codec>() {
        let value = (7_u64, Some("text".to_owned()), vec![1_u8, 2, 3]);
        let bytes = C::encode(&value).unwrap();
        assert_eq!(C::decode::<(u64, Option<String>, Vec<u8>)>(&bytes).unwrap(), value);
        assert!(C::decode::<(u64, Option<String>, Vec<u8>)>(&bytes[..bytes.len() - 1]).is_err());
        let longer = [&bytes[..], b"7"].concat();
        assert!(C::decode::<(u64, Option<String>, Vec<u8>)>(&longer).is_err());
    }

    #[test]
    fn values_are_read_as_they_were_written_and_nothing_else_is() {
        check::<Json>();
        check::<Postcard>();
    }
}
