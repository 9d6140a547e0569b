//! From figures to places: scales, their bounds and their ticks.

/// How figures are spread over a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    Logarithmic,
}

/// A scale between two figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Axis {
    pub(crate) scale: Scale,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Axis {
    /// An axis with round ends that holds all the values. A linear one begins at zero.
    pub(crate) fn around(scale: Scale, values: impl IntoIterator<Item = f64>) -> Self {
        let usable = |value: &f64| value.is_finite() && (scale == Scale::Linear || *value > 0.0);
        let (low, high) = values
            .into_iter()
            .filter(usable)
            .fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low > high { (1.0, 10.0) } else { (low, high) };
        match scale {
            Scale::Linear => Self { scale, min: 0.0, max: round_up(high) },
            Scale::Logarithmic => {
                let max = round_up(high);
                Self { scale, min: round_down(low).min(max / 10.0), max }
            }
        }
    }

    /// Where a value lies between the ends, from 0 to 1.
    pub(crate) fn place(self, value: f64) -> f64 {
        let Self { scale, min, max } = self;
        let place = match scale {
            Scale::Linear => (value - min) / (max - min),
            Scale::Logarithmic => (value / min).log10() / (max / min).log10(),
        };
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Where lines and figures go.
    pub(crate) fn ticks(self) -> Vec<f64> {
        let Self { scale, min, max } = self;
        match scale {
            Scale::Linear => {
                let step = round_up(max / 6.0);
                (0..=6).map(|at| f64::from(at) * step).filter(|tick| *tick <= max * 1.001).collect()
            }
            Scale::Logarithmic => {
                // Of wide ranges only the powers of ten.
                let steps: &[f64] = if max / min > 2000.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
                let decades = min.log10().floor() as i32..=max.log10().ceil() as i32;
                let all = decades.flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade)));
                all.filter(|tick| *tick >= min * 0.999 && *tick <= max * 1.001).collect()
            }
        }
    }
}

/// The next of 1, 2, 5, 10, ... from a value on.
fn round_up(value: f64) -> f64 {
    let decade = 10f64.powi(value.log10().floor() as i32);
    [1.0, 2.0, 5.0, 10.0].map(|step| step * decade).into_iter().find(|round| *round >= value * 0.9999).unwrap_or(value)
}

/// The last of 1, 2, 5, 10, ... up to a value.
fn round_down(value: f64) -> f64 {
    let decade = 10f64.powi(value.log10().floor() as i32);
    [5.0, 2.0, 1.0].map(|step| step * decade).into_iter().find(|round| *round <= value * 1.0001).unwrap_or(value)
}

/// A figure in few characters: `11.3 M`, `288 k`, `0.45`.
pub(crate) fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 999_500.0 => (value / 1e6, " M"),
        size if size >= 9_995.0 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    let shown = format!("{scaled:.digits$}");
    let shown = if shown.contains('.') { shown.trim_end_matches('0').trim_end_matches('.') } else { &shown };
    format!("{shown}{unit}")
}

/// Moves places apart that are closer than `distance`, keeping their order and staying as near as may be; none goes beyond
/// `limit`.
pub(crate) fn spread_out(places: &mut [f64], distance: f64, limit: f64) {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|a, b| places[*a].total_cmp(&places[*b]));
    // Groups of neighbours that touch share their middle.
    let mut groups: Vec<(f64, usize)> = Vec::new();
    for &at in &order {
        groups.push((places[at], 1));
        while let [.., (above, of_above), (below, of_below)] = groups[..]
            && below - above < distance * (of_above + of_below) as f64 / 2.0
        {
            let count = of_above + of_below;
            groups.truncate(groups.len() - 2);
            groups.push(((above * of_above as f64 + below * of_below as f64) / count as f64, count));
        }
    }
    let mut order = order.into_iter();
    for (middle, count) in groups {
        let height = distance * (count - 1) as f64;
        let first = (middle - height / 2.0).min(limit - height);
        for (nth, at) in order.by_ref().take(count).enumerate() {
            places[at] = first + distance * nth as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Axis, Scale, short, spread_out};

    #[test]
    fn axes_have_round_ends_around_the_values() {
        let axis = Axis::around(Scale::Logarithmic, [830.0, 140_021.0, f64::NAN, 0.0]);
        assert_eq!((axis.min, axis.max), (500.0, 200_000.0));
        assert_eq!(axis.ticks(), [500.0, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5]);
        assert!((axis.place(500.0), axis.place(200_000.0)) == (0.0, 1.0) && axis.place(10_000.0) > 0.49);
        let axis = Axis::around(Scale::Linear, [3.0, 8.5]);
        assert_eq!((axis.min, axis.max, axis.place(5.0)), (0.0, 10.0, 0.5));
        assert_eq!(axis.ticks(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(Axis::around(Scale::Linear, []).max, 10.0);
    }

    #[test]
    fn figures_are_short() {
        let cases = [(11_303_911.0, "11.3 M"), (288_498.0, "288 k"), (9_363.0, "9363"), (0.45, "0.45"), (60.0, "60")];
        for (value, shown) in cases.into_iter().chain([(999_900.0, "1 M"), (99.97, "100"), (12_340.0, "12.3 k")]) {
            assert_eq!(short(value), shown);
        }
    }

    #[test]
    fn labels_move_apart_and_keep_their_order() {
        let mut places = [50.0, 52.0, 10.0, 51.0];
        spread_out(&mut places, 10.0, 1000.0);
        assert_eq!(places, [41.0, 61.0, 10.0, 51.0]);
        let mut places = [99.0, 100.0];
        spread_out(&mut places, 10.0, 100.0);
        assert_eq!(places, [90.0, 100.0]);
    }
}
