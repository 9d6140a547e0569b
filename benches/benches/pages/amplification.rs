//! What is written for each byte that users write, on a store of fixed size, with one thread and cleaning inline.
//!
//! The store has 1024 segments of 64 KiB, each with room for 256 records of 255 bytes, headers included. All pages are written
//! once in random order, then 30 times each on average to get steady, then 15 times to be measured.

use std::{fs, io::Write as _, path::Path, sync::Arc};

use esker_pages::{
    Options, PageId, Store,
    cleaning::{Greedy, Policy, Rate, Sepbit},
    storage::MemStorage,
};

use crate::{
    Args, Fallible,
    draw::{Draw, Workload},
    table::{Bar, Chart, Panel, Report, Table, met},
};

const SEGMENT_BYTES: u32 = 1 << 16;
const RECORDS: u32 = 256;
/// A record of a page is that much longer than the page.
const HEADERS_BYTES: usize = 24 + 13;
const CONTENT_BYTES: usize = 255 - HEADERS_BYTES;

/// What the best published rule writes in simulation, by workload and fill: greedy where all pages are alike, elsewhere Lomet
/// and Luo's with a sort buffer in memory of 16 segments.
const YARDSTICK: [(f64, [f64; 4]); 4] = [
    (0.5, [1.25, 1.12, 1.22, 1.22]),
    (0.7, [1.88, 1.42, 1.68, 1.75]),
    (0.8, [2.71, 1.81, 2.28, 2.45]),
    (0.9, [5.26, 3.03, 4.06, 4.42]),
];

pub(crate) fn run(args: &Args, report: &mut Report) -> Fallible {
    let segments = if args.quick { 256 } else { 1024 };
    let mut table =
        Table::new(&["fill", "workload", "policy", "written", "with pads", "victims", "yardstick", "ratio", "met"]);
    let mut panels: Vec<Panel> = Vec::new();
    for (fill, yardstick) in YARDSTICK {
        if !args.fills.is_empty() && !args.fills.contains(&fill) {
            continue;
        }
        for (workload, best) in Workload::ALL.into_iter().zip(yardstick) {
            let rate = Rate::for_spare_segments((f64::from(segments) * (1.0 - fill)) as u64);
            let policies: &[(&str, &dyn Policy)] =
                &[("rate", &rate), ("sepbit", &Sepbit::new()), ("greedy", &Greedy::new())];
            // The others are there to be compared with, at one fill.
            let all = fill == 0.8 && !args.quick;
            let policies = if all { policies } else { &policies[..1] };
            for &(name, policy) in policies {
                let found = measure(segments, fill, workload, policy, args.traces.as_deref())?;
                let is_skewed = workload != Workload::Uniform;
                let most = if is_skewed && fill <= 0.8 { 1.0 } else { 1.03 };
                // The yardstick is known to two digits.
                let written = (found.written * 100.0).round() / 100.0;
                table.row([
                    format!("{fill}"),
                    workload.name().to_owned(),
                    name.to_owned(),
                    format!("{:.3}", found.written),
                    format!("{:.3}", found.with_pads),
                    format!("{:.3}", found.victims),
                    format!("{best:.2}"),
                    format!("{:.3}", found.written / best),
                    met(written <= best * most),
                ]);
                if name == "rate" {
                    draw(&mut panels, workload, fill, found.written, best);
                }
                eprintln!("{fill} {} {name}: {:.3}", workload.name(), found.written);
            }
        }
    }
    report.table(&format!(
        "Bytes written for each byte that users wrote; {segments} segments of {RECORDS} records. `victims`: the live share of \
         what was cleaned, as it follows from what was written. At most the yardstick where some pages are written more than \
         others and the fill is at most 0.8, and 1.03 times it elsewhere"
    ), table);
    if !panels.is_empty() {
        let title = "Bytes written for each byte that users wrote";
        report.chart(Chart { file: "amplification.svg", title, panels });
    }
    Ok(())
}

/// One panel for each workload, with two bars for each fill.
fn draw(panels: &mut Vec<Panel>, workload: Workload, fill: f64, written: f64, best: f64) {
    let title = format!("{}, by the live share of the segments", workload.name());
    let at = panels.iter().position(|panel| panel.title == title).unwrap_or_else(|| {
        panels.push(Panel { title, bars: Vec::new() });
        panels.len() - 1
    });
    let bar = |name: &str, is_ours, value| Bar { name: format!("{fill}, {name}"), is_ours, values: vec![value] };
    panels[at].bars.extend([bar("esker", true, written), bar("best published", false, best)]);
}

struct Found {
    written: f64,
    with_pads: f64,
    victims: f64,
}

fn measure(
    segments: u32,
    fill: f64,
    workload: Workload,
    policy: &dyn Policy,
    traces: Option<&Path>,
) -> Fallible<Found> {
    let pages = (f64::from(segments * RECORDS) * fill) as u32;
    let store = Store::open(Arc::new(MemStorage::default()), options(segments, policy))?;
    let mut draw = Draw::new(workload, pages, 1);
    let content = [7; CONTENT_BYTES];
    for page in draw.shuffled() {
        store.replace(id(page), None, &content)?;
    }
    let mut trace = match traces {
        Some(dir) => {
            fs::create_dir_all(dir)?;
            let name = format!("{}-{fill}.u32", workload.name().replace(['/', ' '], "-"));
            Some(std::io::BufWriter::new(fs::File::create(dir.join(name))?))
        }
        None => None,
    };
    let mut write = |times: u32| -> Fallible {
        for _ in 0..u64::from(pages) * u64::from(times) {
            let page = draw.next();
            if let Some(trace) = &mut trace {
                trace.write_all(&page.to_le_bytes())?;
            }
            store.replace(id(page), store.version(id(page)), &content)?;
        }
        Ok(())
    };
    write(30)?;
    let before = store.stats();
    write(15)?;
    let after = store.stats();
    let slots = after.file_bytes / u64::from(SEGMENT_BYTES);
    if slots > u64::from(segments) {
        return Err(format!("there are {slots} segments and not {segments}").into());
    }
    let [user, moved, pads] = [
        after.user_bytes - before.user_bytes,
        after.moved_bytes - before.moved_bytes,
        after.pad_bytes - before.pad_bytes,
    ]
    .map(|bytes| bytes as f64);
    let written = (user + moved) / user;
    Ok(Found { written, with_pads: (user + moved + pads) / user, victims: 1.0 - 1.0 / written })
}

fn options(segments: u32, policy: &dyn Policy) -> Options {
    // The ledger has an eighth beside the segments, and four megabytes at least.
    let bytes = u64::from(segments) * u64::from(SEGMENT_BYTES);
    let max_bytes = (bytes * 8 / 7 + 8).max(bytes + (4 << 20));
    Options::new()
        .segment_bytes(SEGMENT_BYTES)
        .buffer_bytes(SEGMENT_BYTES)
        .buffers(2)
        .max_bytes(Some(max_bytes))
        .policy(policy.boxed())
        .cache_bytes(1 << 20)
        .background(false)
}

fn id(page: u32) -> PageId {
    PageId::new(u64::from(page) + 1).expect("not many")
}
