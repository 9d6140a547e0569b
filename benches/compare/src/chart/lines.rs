//! Lines over some ticks, each with its name at its end; panels side by side.

use std::path::Path;

use super::{
    axis::{Axis, Scale, short, spread_out},
    canvas::{Anchor, Canvas, Hand, Look, WIDTH},
};
use crate::{Fallible, stats::Spread};

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) look: Look,
    pub(crate) points: Vec<(f64, Spread)>,
}

/// Lines that share axes.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    /// What goes upwards, with its unit.
    pub(crate) upwards: String,
    pub(crate) lines: Vec<Line>,
}

/// A chart of lines.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    pub(crate) title: String,
    /// What goes to the right, with its unit.
    pub(crate) rightwards: String,
    pub(crate) ticks: Vec<f64>,
    pub(crate) scale: Scale,
    pub(crate) panels: Vec<Panel>,
    pub(crate) footnote: String,
}

const HEIGHT: f64 = 560.0;
const TOP: f64 = 92.0;
const BOTTOM: f64 = 470.0;
const LEFT: f64 = 70.0;
/// Room for the names of lines.
const NAMES: f64 = 190.0;
const NAME_DISTANCE: f64 = 19.0;

pub(crate) fn draw(chart: &Lines, path: &Path) -> Fallible {
    let canvas = Canvas::new(path, HEIGHT)?;
    canvas.text(&chart.title, (20.0, 28.0), Anchor::Left, Hand::Title, None)?;
    // The last panel has the names; the others are as wide without.
    let count = chart.panels.len().max(1) as f64;
    let width = (WIDTH - NAMES - LEFT * count) / count;
    for (nth, panel) in chart.panels.iter().enumerate() {
        let left = LEFT + nth as f64 * (width + LEFT);
        draw_panel(&canvas, chart, panel, (left, left + width), nth + 1 == chart.panels.len())?;
    }
    canvas.text(&chart.footnote, (20.0, HEIGHT - 20.0), Anchor::Left, Hand::Faint, None)?;
    canvas.finish()
}

fn draw_panel(canvas: &Canvas<'_>, chart: &Lines, panel: &Panel, (left, right): (f64, f64), named: bool) -> Fallible {
    let all = || panel.lines.iter().flat_map(|line| &line.points);
    let across = Axis {
        scale: chart.scale,
        min: chart.ticks.first().copied().unwrap_or(1.0),
        max: chart.ticks.last().copied().unwrap_or(10.0),
    };
    let upwards = Axis::around(chart.scale, all().flat_map(|(_, spread)| [spread.min, spread.max]));
    // Room on both sides of the ticks.
    let margin = 14.0;
    let x = |value: f64| left + margin + across.place(value) * (right - left - 2.0 * margin);
    let y = |value: f64| BOTTOM - upwards.place(value) * (BOTTOM - TOP);
    canvas.text(&panel.upwards, (left - 50.0, TOP - 24.0), Anchor::Left, Hand::Subtitle, None)?;
    for tick in upwards.ticks() {
        canvas.grid_line((left, y(tick)), (right, y(tick)))?;
        canvas.text(&short(tick), (left - 8.0, y(tick)), Anchor::Right, Hand::Label, None)?;
    }
    for &tick in &chart.ticks {
        canvas.axis_line((x(tick), BOTTOM), (x(tick), BOTTOM + 5.0))?;
        canvas.text(&short(tick), (x(tick), BOTTOM + 18.0), Anchor::Middle, Hand::Label, None)?;
    }
    canvas.axis_line((left, BOTTOM), (right, BOTTOM))?;
    let middle = f64::midpoint(left, right);
    canvas.text(&chart.rightwards, (middle, BOTTOM + 44.0), Anchor::Middle, Hand::Subtitle, None)?;
    // The first line is drawn last, on top of all others.
    for line in panel.lines.iter().rev() {
        for (at, spread) in &line.points {
            canvas.thin_line((x(*at), y(spread.min)), (x(*at), y(spread.max)), line.look.color)?;
        }
        let points: Vec<_> = line.points.iter().map(|(at, spread)| (x(*at), y(spread.median))).collect();
        canvas.line(&points, line.look)?;
        for point in points {
            canvas.dot(point, line.look)?;
        }
    }
    if named {
        name(canvas, panel, right, |(at, spread)| (x(at), y(spread.median)))?;
    }
    Ok(())
}

/// Writes the names to the right of the lines' ends, apart from each other.
fn name(canvas: &Canvas<'_>, panel: &Panel, right: f64, place: impl Fn((f64, Spread)) -> (f64, f64)) -> Fallible {
    let ends: Vec<_> = panel.lines.iter().filter_map(|line| Some((line, place(*line.points.last()?)))).collect();
    let mut heights: Vec<f64> = ends.iter().map(|(_, (_, y))| *y).collect();
    spread_out(&mut heights, NAME_DISTANCE, BOTTOM);
    for ((line, end), height) in ends.into_iter().zip(heights) {
        canvas.thin_line((end.0 + 6.0, end.1), (right + 8.0, height), line.look.color)?;
        let hand = if line.look.bold { Hand::Strong } else { Hand::Label };
        canvas.text(&line.name, (right + 12.0, height), Anchor::Left, hand, Some(line.look.color))?;
    }
    Ok(())
}
