//! Reading everything, and telling all that is damaged.

use std::collections::BTreeSet;

use esker_format::{BlobId, Epoch, Lsn, MESSAGE_HEADER_BYTES, MessageKind, SEGMENT_HEADER_BYTES};
use esker_storage::Storage;

use crate::{
    Corruption, CorruptionKind, Error, LostRange, MessageInfo, Messages, RecoveryNote, blob, control, messages::Found,
    recovery::Recovered,
};

/// What [`LogReader::verify`](crate::LogReader::verify) found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Records that are whole, those with blobs included.
    pub records: u64,
    /// Messages of any kind that are whole.
    pub messages: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Blobs that are whole.
    pub blobs: u64,
    /// Segments read.
    pub segments: u32,
    /// What is damaged or missing, in LSN order.
    pub damages: Vec<Corruption>,
    /// Which parts of the log are lost by that, in LSN order. Damage that loses no record, as that of one of two copies, is
    /// in `damages` alone.
    pub lost: Vec<LostRange>,
    /// What had been lost before and was given up, when the log was [salvaged](crate::LogReader::salvage): from where to
    /// where, in LSN order.
    pub given_up: Vec<(Lsn, Lsn)>,
    /// Files of blobs that no record points at. They cost space, nothing else.
    pub orphan_blobs: Vec<String>,
}

impl VerifyReport {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.damages.is_empty()
    }
}

/// Everything that verifying a log brings to light.
pub(crate) struct Verified {
    pub(crate) report: VerifyReport,
    /// As in the report, but also below the floor, and with the highest epoch of what precedes each.
    pub(crate) lost: Vec<(LostRange, Epoch)>,
    /// The blobs that are whole and that a record points at.
    pub(crate) blobs: BTreeSet<BlobId>,
}

/// Reads the whole log. `progress` is told bytes done and bytes in all.
pub(crate) fn verify(
    storage: &dyn Storage,
    recovered: &Recovered,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified, Error> {
    let mut verified = Verified { report: VerifyReport::default(), lost: Vec::new(), blobs: BTreeSet::new() };
    let floor = recovered.floor;
    let total = recovered.tip - floor.segment_base(recovered.superblock.segment_bytes).min(recovered.tip);
    let mut pointed_at = BTreeSet::new();
    let mut messages = Messages::new(recovered, floor);
    let mut epoch = Epoch::ZERO;
    while let Some(found) = messages.next_found() {
        let (info, pointer) = match found? {
            Found::Message(info) => (info, info.blob),
            Found::Unreadable(lost, epoch) => {
                verified.add(storage, recovered, lost, epoch)?;
                continue;
            }
        };
        epoch = epoch.max(info.epoch);
        let report = &mut verified.report;
        report.messages += 1;
        report.bytes += MESSAGE_HEADER_BYTES as u64 + u64::from(info.len);
        // Every so many messages, so that telling costs nothing beside reading.
        if report.messages.is_multiple_of(4096) {
            progress(report.bytes.min(total), total);
        }
        if info.kind == MessageKind::Lost && info.end() > floor {
            match report.given_up.last_mut() {
                Some((_, to)) if adjoin(recovered, *to, info.lsn) => *to = info.end(),
                _ => report.given_up.push((info.lsn.max(floor), info.end())),
            }
        }
        if !info.kind.is_record() || info.lsn < floor {
            continue;
        }
        if info.kind == MessageKind::BlobPointer {
            let read = pointer.ok_or_else(|| pointer_damaged(&info).into()).and_then(|pointer| {
                pointed_at.insert(pointer.id);
                let payload = blob::read(storage, recovered.superblock.log_id, info.lsn, &pointer)?;
                Ok((pointer.id, payload.len()))
            });
            match read {
                Ok((id, len)) => {
                    verified.blobs.insert(id);
                    report.blobs += 1;
                    report.bytes += len as u64;
                }
                Err(Error::Corrupt(why)) => {
                    verified.add(storage, recovered, LostRange { from: info.lsn, to: info.end(), why }, epoch)?;
                    continue;
                }
                Err(error) => return Err(error),
            }
        }
        report.records += 1;
    }
    progress(total, total);
    let Verified { report, lost, .. } = &mut verified;
    report.segments = recovered.live_segments();
    report.orphan_blobs =
        blob::list(storage)?.iter().filter(|id| !pointed_at.contains(id)).map(BlobId::file_name).collect();
    for note in &recovered.report.notes {
        if let RecoveryNote::CopyDamaged(corruption) | RecoveryNote::SuperblockRebuilt(corruption) = note {
            report.damages.push(corruption.clone());
        }
    }
    // What recovery could not read is met again here, unless it is a segment that is missing or has lost its header.
    for damage in recovered.report.damage.iter().chain(recovered.lost_headers()) {
        if !report.damages.iter().any(|found| found.lsn == damage.lsn) {
            report.damages.push(damage.clone());
        }
    }
    report.damages.sort_by_key(|damage| damage.lsn);
    for (range, _) in lost.iter().filter(|(range, _)| range.to > floor) {
        match report.lost.last_mut() {
            Some(last) if adjoin(recovered, last.to, range.from) => last.to = range.to,
            _ => report.lost.push(LostRange { from: range.from.max(floor), ..range.clone() }),
        }
    }
    Ok(verified)
}

impl Verified {
    /// Notes something that cannot be read, unless a writer has truncated the log beyond it meanwhile, so that it is no
    /// loss.
    fn add(
        &mut self,
        storage: &dyn Storage,
        recovered: &Recovered,
        lost: LostRange,
        epoch: Epoch,
    ) -> Result<(), Error> {
        let floor = match control::load(storage) {
            Ok(loaded) => loaded.superblock.floor,
            // Without a superblock there is no writer.
            Err(Error::Corrupt(_) | Error::NotFound) => recovered.floor,
            Err(error) => return Err(error),
        };
        if floor <= recovered.floor || lost.from >= floor {
            self.report.damages.push(lost.why.clone());
            self.lost.push((lost, epoch));
        }
        Ok(())
    }
}

/// Whether nothing that could be a message lies between the end of one part of the log and the beginning of another.
fn adjoin(recovered: &Recovered, end: Lsn, from: Lsn) -> bool {
    let segment_bytes = recovered.superblock.segment_bytes;
    end == from || (end.offset_in_segment(segment_bytes) == 0 && end + SEGMENT_HEADER_BYTES as u64 == from)
}

fn pointer_damaged(info: &MessageInfo) -> Corruption {
    let reason = "its pointer has a wrong length".to_owned();
    Corruption::in_log(info.lsn, info.offset, CorruptionKind::Blob { reason })
}
