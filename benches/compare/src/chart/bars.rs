//! Bars from zero, with their figures at their ends and their ranges; panels one below the other, each with a scale of its
//! own.

use std::path::Path;

use super::{
    axis::short,
    canvas::{Anchor, Canvas, Hand, Look, WIDTH},
};
use crate::{Fallible, stats::Spread};

/// One bar.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) look: Look,
    pub(crate) spread: Spread,
}

/// Bars that share a scale.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    /// What the bars show, with its unit.
    pub(crate) title: String,
    pub(crate) bars: Vec<Bar>,
}

/// A chart of bars.
#[derive(Clone, Debug)]
pub(crate) struct Bars {
    pub(crate) title: String,
    pub(crate) panels: Vec<Panel>,
    pub(crate) footnote: String,
}

const LEFT: f64 = 230.0;
const RIGHT: f64 = WIDTH - 90.0;
const HEADING: f64 = 60.0;
const PANEL_HEADING: f64 = 40.0;
const BAR: f64 = 24.0;
const FOOT: f64 = 44.0;

pub(crate) fn draw(chart: &Bars, path: &Path) -> Fallible {
    let rows: usize = chart.panels.iter().map(|panel| panel.bars.len()).sum();
    let height = HEADING + chart.panels.len() as f64 * PANEL_HEADING + rows as f64 * BAR + FOOT;
    let canvas = Canvas::new(path, height)?;
    canvas.text(&chart.title, (20.0, 28.0), Anchor::Left, Hand::Title, None)?;
    let mut y = HEADING;
    for panel in &chart.panels {
        canvas.text(&panel.title, (20.0, y + PANEL_HEADING / 2.0), Anchor::Left, Hand::Subtitle, None)?;
        y += PANEL_HEADING;
        let most = panel.bars.iter().map(|bar| bar.spread.max).fold(0.0, f64::max);
        let x = |value: f64| LEFT + if most > 0.0 { value / most * (RIGHT - LEFT) } else { 0.0 };
        for bar in &panel.bars {
            let middle = y + BAR / 2.0;
            let hand = if bar.look.bold { Hand::Strong } else { Hand::Label };
            canvas.text(&bar.name, (LEFT - 10.0, middle), Anchor::Right, hand, None)?;
            let Spread { median, min, max } = bar.spread;
            canvas.bar((LEFT, middle - 8.0), (x(median), middle + 8.0), bar.look)?;
            canvas.axis_line((x(min), middle), (x(max), middle))?;
            for end in [min, max] {
                canvas.axis_line((x(end), middle - 4.0), (x(end), middle + 4.0))?;
            }
            canvas.text(&short(median), (x(max) + 8.0, middle), Anchor::Left, hand, None)?;
            y += BAR;
        }
        canvas.axis_line((LEFT, y - panel.bars.len() as f64 * BAR), (LEFT, y))?;
    }
    canvas.text(&chart.footnote, (20.0, height - 18.0), Anchor::Left, Hand::Faint, None)?;
    canvas.finish()
}
