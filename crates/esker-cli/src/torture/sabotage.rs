//! Damage on purpose, to show that it is noticed.
//!
//! Owns a hidden switch of the command, for its tests alone.

use std::{fs, path::Path};

use esker::{Config, Lsn, MessageInfo, format::MESSAGE_HEADER_BYTES};

use super::{Trouble, args::Sabotage};
use crate::ending::Failure;

/// Damages the record at `lsn`, or cuts the log off there.
pub(super) fn damage(dir: &Path, kind: Sabotage, lsn: Lsn) -> Result<(), Trouble> {
    let reader = Config::new(dir).open_read_only().map_err(|error| Failure::log(dir, &error))?;
    let path = dir.join("log");
    let mut bytes = fs::read(&path).map_err(|error| Failure::io(path.display(), &error))?;
    for MessageInfo { lsn: at, offset, len, .. } in reader.messages().flatten() {
        let from = offset.get() as usize;
        let message = &mut bytes[from..from + MESSAGE_HEADER_BYTES + len as usize];
        match kind {
            Sabotage::Flip if at == lsn => message[MESSAGE_HEADER_BYTES] ^= 1,
            Sabotage::Cut if at >= lsn => message.fill(0),
            _ => (),
        }
    }
    fs::write(&path, bytes).map_err(|error| Failure::io(path.display(), &error))?;
    Ok(())
}
