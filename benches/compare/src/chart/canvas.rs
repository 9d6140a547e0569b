//! Drawing: text, lines, boxes, on a white ground that is legible on dark pages, too.

use std::path::Path;

use plotters::{
    coord::Shift,
    prelude::{
        Circle, Color, DrawingArea, FontStyle, IntoDrawingArea, IntoFont, PathElement, RGBColor, Rectangle, SVGBackend,
        ShapeStyle, Text, TextStyle,
    },
    style::{
        WHITE,
        text_anchor::{HPos, Pos, VPos},
    },
};

use crate::{Fallible, contender::Contender};

pub(crate) const WIDTH: f64 = 960.0;

const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const FAINT_INK: RGBColor = RGBColor(0x55, 0x55, 0x55);
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

/// How a contender looks. The colours can be told apart by people who see fewer of them (Okabe and Ito); every line has
/// its name at its end besides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) color: RGBColor,
    pub(crate) width: u32,
    pub(crate) dashed: bool,
    pub(crate) bold: bool,
}

impl Look {
    pub(crate) fn of(contender: Contender) -> Self {
        let plain = |red, green, blue| Self { color: RGBColor(red, green, blue), width: 2, dashed: false, bold: false };
        match contender {
            Contender::Esker => Self { width: 4, bold: true, ..plain(0xd5, 0x5e, 0x00) },
            Contender::EskerBatched => Self { bold: true, ..plain(0xf0, 0xb0, 0x80) },
            Contender::RaftEngine => plain(0x00, 0x72, 0xb2),
            Contender::Okaywal => plain(0x00, 0x9e, 0x73),
            Contender::WalDb => plain(0xcc, 0x79, 0xa7),
            Contender::Walrus => plain(0xe6, 0x9f, 0x00),
            Contender::Fjall => plain(0x56, 0xb4, 0xe9),
            Contender::Sled | Contender::Commitlog => Self { dashed: true, ..plain(0x99, 0x99, 0x99) },
            Contender::Redb => plain(0x00, 0x9e, 0x73),
            Contender::Marble => plain(0x00, 0x72, 0xb2),
            Contender::Mutexed => Self { dashed: true, ..plain(0x44, 0x44, 0x44) },
            // Light enough to show a range drawn over it.
            Contender::LimitMemory
            | Contender::LimitBuffered
            | Contender::LimitDurable
            | Contender::LimitBandwidth
            | Contender::LimitRead
            | Contender::LimitPread => plain(0x88, 0x88, 0x88),
        }
    }
}

/// Where text stands in respect of its place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Anchor {
    Left,
    Middle,
    Right,
}

/// How text looks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hand {
    Title,
    Subtitle,
    Label,
    Strong,
    Faint,
}

pub(crate) struct Canvas<'a>(DrawingArea<SVGBackend<'a>, Shift>);

type Point = (f64, f64);

fn pixel((x, y): Point) -> (i32, i32) {
    (x.round() as i32, y.round() as i32)
}

impl<'a> Canvas<'a> {
    pub(crate) fn new(path: &'a Path, height: f64) -> Fallible<Self> {
        let area = SVGBackend::new(path, (WIDTH as u32, height as u32)).into_drawing_area();
        area.fill(&WHITE).map_err(said)?;
        Ok(Self(area))
    }

    pub(crate) fn text(&self, text: &str, at: Point, anchor: Anchor, hand: Hand, color: Option<RGBColor>) -> Fallible {
        let (size, style, ink) = match hand {
            Hand::Title => (22, FontStyle::Bold, INK),
            Hand::Subtitle => (16, FontStyle::Bold, INK),
            Hand::Label => (15, FontStyle::Normal, INK),
            Hand::Strong => (15, FontStyle::Bold, INK),
            Hand::Faint => (13, FontStyle::Normal, FAINT_INK),
        };
        let across = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let font = ("sans-serif", size).into_font().style(style);
        let color = color.unwrap_or(ink);
        let style = TextStyle::from(font).color(&color).pos(Pos::new(across, VPos::Center));
        self.0.draw(&Text::new(text.to_owned(), pixel(at), style)).map_err(said)
    }

    pub(crate) fn grid_line(&self, from: Point, to: Point) -> Fallible {
        self.path(&[from, to], GRID.stroke_width(1))
    }

    pub(crate) fn axis_line(&self, from: Point, to: Point) -> Fallible {
        self.path(&[from, to], FAINT_INK.stroke_width(1))
    }

    pub(crate) fn line(&self, points: &[Point], look: Look) -> Fallible {
        if !look.dashed {
            return self.path(points, look.color.stroke_width(look.width));
        }
        for dash in dashes(points, 7.0, 5.0) {
            self.path(&dash, look.color.stroke_width(look.width))?;
        }
        Ok(())
    }

    /// A thin line in a contender's colour: a range, or the way to a label.
    pub(crate) fn thin_line(&self, from: Point, to: Point, color: RGBColor) -> Fallible {
        self.path(&[from, to], color.mix(0.6).stroke_width(1))
    }

    pub(crate) fn dot(&self, at: Point, look: Look) -> Fallible {
        let radius = i32::try_from(look.width)? + 1;
        self.0.draw(&Circle::new(pixel(at), radius, look.color.filled())).map_err(said)
    }

    pub(crate) fn bar(&self, from: Point, to: Point, look: Look) -> Fallible {
        let style = if look.dashed { look.color.mix(0.45).filled() } else { look.color.filled() };
        self.0.draw(&Rectangle::new([pixel(from), pixel(to)], style)).map_err(said)
    }

    pub(crate) fn finish(self) -> Fallible {
        self.0.present().map_err(said)
    }

    fn path(&self, points: &[Point], style: ShapeStyle) -> Fallible {
        let points: Vec<_> = points.iter().copied().map(pixel).collect();
        self.0.draw(&PathElement::new(points, style)).map_err(said)
    }
}

/// The library's errors borrow from what it draws on.
fn said(error: impl std::fmt::Display) -> crate::Failure {
    error.to_string().into()
}

/// A line cut into dashes.
fn dashes(points: &[Point], dash: f64, gap: f64) -> Vec<Vec<Point>> {
    let mut found = Vec::new();
    let mut along = 0.0;
    for pair in points.windows(2) {
        let [(x0, y0), (x1, y1)] = [pair[0], pair[1]];
        let length = (x1 - x0).hypot(y1 - y0);
        let at = |distance: f64| (x0 + (x1 - x0) * distance / length, y0 + (y1 - y0) * distance / length);
        let mut from = 0.0;
        while from < length {
            let phase = along % (dash + gap);
            let (part, drawn) = if phase < dash { (dash - phase, true) } else { (dash + gap - phase, false) };
            let to = (from + part).min(length);
            if drawn {
                found.push(vec![at(from), at(to)]);
            }
            along += to - from;
            // A part too short to count would be met again and again.
            from = to.max(from + 1e-9);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::dashes;

    #[test]
    fn dashes_go_on_around_corners() {
        let found = dashes(&[(0.0, 0.0), (10.0, 0.0), (10.0, 10.0)], 6.0, 2.0);
        let ends: Vec<_> = found.iter().map(|dash| (dash[0], dash[1])).collect();
        assert_eq!(
            ends,
            [
                ((0.0, 0.0), (6.0, 0.0)),
                ((8.0, 0.0), (10.0, 0.0)),
                ((10.0, 0.0), (10.0, 4.0)),
                ((10.0, 6.0), (10.0, 10.0))
            ]
        );
    }
}
