//! What another benchmark has found, to be told and drawn with the rest.

use std::{fs, path::Path};

use serde::Deserialize;

use crate::{
    Fallible,
    chart::{self, Chart},
    machine::Machine,
    stats::Spread,
};

/// Tables and charts of another benchmark.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Guest {
    pub(crate) tables: Vec<Table>,
    charts: Vec<Bars>,
}

/// Rows of text, the first one being the head.
#[derive(Debug, Deserialize)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) rows: Vec<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Bars {
    file: String,
    title: String,
    panels: Vec<Panel>,
}

#[derive(Debug, Deserialize)]
struct Panel {
    title: String,
    bars: Vec<Bar>,
}

#[derive(Debug, Deserialize)]
struct Bar {
    name: String,
    is_ours: bool,
    values: Vec<f64>,
}

impl Guest {
    pub(crate) fn read(path: Option<&Path>) -> Fallible<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))?)
    }

    /// Draws its charts.
    pub(crate) fn draw(&self, machine: &Machine, out: &Path) -> Fallible<Vec<Chart>> {
        self.charts.iter().map(|bars| bars.draw(machine, out)).collect()
    }
}

impl Bars {
    fn draw(&self, machine: &Machine, out: &Path) -> Fallible<Chart> {
        // A name of a file, and not of a place elsewhere.
        let is_name = self.file.ends_with(".svg") && !self.file.contains(['/', '\\']);
        if !is_name {
            return Err(format!("{:?} is no name for a chart", self.file).into());
        }
        let panels = self.panels.iter().map(|panel| {
            let bars = panel.bars.iter();
            let bars = bars.filter_map(|bar| Some((bar.name.clone(), bar.is_ours, Spread::of(&bar.values)?)));
            (panel.title.clone(), bars.collect())
        });
        chart::plain(&self.title, panels.collect(), machine, &out.join(&self.file))?;
        Ok(Chart { title: self.title.clone(), file: self.file.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::Guest;
    use crate::machine::Machine;

    #[test]
    fn guests_are_drawn_where_they_belong() {
        let dir = tempfile::tempdir().unwrap();
        let json = dir.path().join("guest.json");
        let write = |file: &str| {
            let bars = r#"[{"name": "ours", "is_ours": true, "values": [1.0, 3.0]}, {"name": "absent", "is_ours": false, "values": []}]"#;
            let text = format!(
                r#"{{"tables": [], "charts": [{{"file": "{file}", "title": "T", "panels": [{{"title": "P", "bars": {bars}}}]}}]}}"#
            );
            std::fs::write(&json, text).unwrap();
            Guest::read(Some(&json)).unwrap()
        };
        let machine = Machine::here(dir.path());
        let charts = write("drawn.svg").draw(&machine, dir.path()).unwrap();
        assert_eq!((&*charts[0].file, &*charts[0].title), ("drawn.svg", "T"));
        let svg = std::fs::read_to_string(dir.path().join("drawn.svg")).unwrap();
        assert!(svg.contains("ours") && !svg.contains("absent"), "{svg}");
        assert!(write("../elsewhere.svg").draw(&machine, dir.path()).is_err());
        assert!(Guest::read(Some(&dir.path().join("missing"))).is_err());
        assert!(Guest::read(None).unwrap().tables.is_empty());
    }
}
