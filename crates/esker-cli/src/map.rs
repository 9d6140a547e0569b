//! `esker map`: the segments of a page store, drawn.

use std::{fmt::Write as _, fs};

use esker_pages::{Slot, SlotState};
use serde_json::json;

use crate::{
    args::Map,
    ending::{Ending, Failure, Outcome},
    interrupt,
    output::Output,
    pages,
};

/// How many segments a row has on the terminal, and in the picture.
const COLUMNS: usize = 64;
/// The side of a segment in the picture, and the distance to the next, in pixels.
const CELL: usize = 11;
const PITCH: usize = 13;
/// Where the picture's rows begin, beside and below their labels.
const LEFT: usize = 70;
const TOP: usize = 50;

/// Runs the command.
pub(crate) fn run(args: &Map, json: bool) -> Outcome {
    interrupt::end_at_once()?;
    let look = pages::open(&args.dir)?;
    let (slots, segment_bytes) = (look.slots(), u64::from(look.segment_bytes()));
    if let Some(file) = &args.svg {
        fs::write(file, svg(&slots, segment_bytes)).map_err(|error| Failure::io(file.display(), &error))?;
    }
    let mut out = Output::lock();
    if json {
        for (nth, slot) in slots.iter().enumerate() {
            out.line(&json!({
                "slot": nth,
                "state": word(slot.state),
                "base_lsn": slot.base.map(|base| base.get()),
                "stream": slot.stream,
                "live_bytes": slot.live_bytes,
                "segment_bytes": segment_bytes,
            }))?;
        }
    } else {
        for (row, slots) in slots.chunks(COLUMNS).enumerate() {
            let cells: String = slots.iter().map(|slot| cell(slot, segment_bytes)).collect();
            out.line(&format_args!("{:>8}  {cells}", row * COLUMNS))?;
        }
        out.line(&"")?;
        out.line(&format_args!("          {LEGEND}"))?;
        out.line(&format_args!("          {}", summary(&slots, segment_bytes)))?;
    }
    out.finish()?;
    Ok(Ending::Done)
}

const LEGEND: &str =
    ". free   o open   full, live: _ nothing   ░ to a quarter   ▒ to a half   ▓ to three quarters   █ more";

fn summary(slots: &[Slot], segment_bytes: u64) -> String {
    let count = |state| slots.iter().filter(|slot| slot.state == state).count();
    let live: u64 = slots.iter().map(|slot| slot.live_bytes).sum();
    let share = 100.0 * live as f64 / (slots.len().max(1) as u64 * segment_bytes) as f64;
    format!(
        "{} segments of {segment_bytes} bytes: {} full, {} open, {} free; {share:.1} % live",
        slots.len(),
        count(SlotState::Full),
        count(SlotState::Open),
        count(SlotState::Free),
    )
}

fn word(state: SlotState) -> &'static str {
    match state {
        SlotState::Free => "free",
        SlotState::Open => "open",
        _ => "full",
    }
}

fn cell(slot: &Slot, segment_bytes: u64) -> char {
    match slot.state {
        SlotState::Free => '.',
        SlotState::Open => 'o',
        _ => match slot.live_bytes * 4 / segment_bytes {
            _ if slot.live_bytes == 0 => '_',
            0 => '░',
            1 => '▒',
            2 => '▓',
            _ => '█',
        },
    }
}

fn svg(slots: &[Slot], segment_bytes: u64) -> String {
    let rows = slots.len().div_ceil(COLUMNS);
    let (width, height) = (LEFT + COLUMNS * PITCH + 20, TOP + rows * PITCH + 20);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-size=\"13\">{}</text>\n",
        summary(slots, segment_bytes)
    );
    let legend = [
        ("free", "#f0f0f0"),
        ("open", "#e8a33d"),
        ("nothing live", &shade(0.0)),
        ("half live", &shade(0.5)),
        ("all live", &shade(1.0)),
    ];
    for (nth, (what, fill)) in legend.iter().enumerate() {
        let x = LEFT + nth * 110;
        let text = x + CELL + 5;
        put(
            &mut svg,
            format_args!(
                "<rect x=\"{x}\" y=\"26\" width=\"{CELL}\" height=\"{CELL}\" fill=\"{fill}\" stroke=\"#999999\" stroke-width=\"0.5\"/>"
            ),
        );
        put(&mut svg, format_args!("<text x=\"{text}\" y=\"35\">{what}</text>"));
    }
    for (nth, slot) in slots.iter().enumerate() {
        let (x, y) = (LEFT + nth % COLUMNS * PITCH, TOP + nth / COLUMNS * PITCH);
        if nth % COLUMNS == 0 {
            let (x, y) = (LEFT - 8, y + CELL - 2);
            put(&mut svg, format_args!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{nth}</text>"));
        }
        let live = slot.live_bytes as f64 / segment_bytes as f64;
        let fill = match slot.state {
            SlotState::Free => "#f0f0f0".to_owned(),
            SlotState::Open => "#e8a33d".to_owned(),
            _ => shade(live),
        };
        let title = format!("segment {nth}: {}, {:.0} % live", word(slot.state), 100.0 * live);
        put(
            &mut svg,
            format_args!(
                "<rect x=\"{x}\" y=\"{y}\" width=\"{CELL}\" height=\"{CELL}\" fill=\"{fill}\" stroke=\"#999999\" stroke-width=\"0.5\"><title>{title}</title></rect>"
            ),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn put(svg: &mut String, element: std::fmt::Arguments<'_>) {
    writeln!(svg, "{element}").expect("a string takes everything");
}

/// From nearly white to dark green.
fn shade(live: f64) -> String {
    let between = |pale: f64, dark: f64| (pale + (dark - pale) * live.clamp(0.0, 1.0)).round() as u8;
    format!("#{:02x}{:02x}{:02x}", between(222.0, 20.0), between(240.0, 92.0), between(222.0, 44.0))
}
