//! T8: the tables of FORMAT.md and the layout constants of `esker-format` say the same.
//!
//! The specification is written by hand and normative, the constants are what runs; neither is made from the other, so
//! both are read here as text. A structure's table is the one that shares most field names with it.

use super::{Finding, Source};

const SPEC: &str = "crates/esker-format/FORMAT.md";
const LAYOUT: &str = "crates/esker-format/src/layout.rs";

/// Offset, size and name of a field.
type Row = (usize, usize, String);

/// A structure, as one side describes it.
#[derive(Debug, PartialEq, Eq)]
struct Structure {
    name: String,
    line: usize,
    rows: Vec<Row>,
}

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let text = |path: &str| sources.iter().find(|source| source.path == path).map(|source| source.text.as_str());
    let (Some(spec), Some(layout)) = (text(SPEC), text(LAYOUT)) else {
        return vec![Finding::whole(SPEC, format!("T8: {SPEC} or {LAYOUT} is missing"))];
    };
    compare(&tables(spec), &constants(layout))
}

fn compare(tables: &[Structure], constants: &[Structure]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if constants.is_empty() {
        findings.push(Finding::whole(LAYOUT, "T8: no layout found, so nothing can be compared"));
    }
    let mut described = vec![false; tables.len()];
    for constant in constants {
        let shared = |table: &Structure| {
            let has = |row: &&Row| constant.rows.iter().any(|other| other.2 == row.2);
            table.rows.iter().filter(has).count() * 2 > table.rows.len().max(constant.rows.len())
        };
        let mut nearest = tables.iter().enumerate().filter(|(_, table)| shared(table));
        let exact = nearest.clone().find(|(_, table)| table.rows == constant.rows);
        match exact.or_else(|| nearest.next()) {
            None => {
                let what = format!("T8: FORMAT.md has no table for {}", constant.name);
                findings.push(Finding { place: LAYOUT.into(), line: constant.line, what });
            }
            Some((at, table)) => {
                described[at] = true;
                findings.extend(differences(table, constant));
            }
        }
    }
    for (table, _) in tables.iter().zip(described).filter(|(_, described)| !described) {
        let what = format!("T8: no layout constant for the table under `{}`", table.name);
        findings.push(Finding { place: SPEC.into(), line: table.line, what });
    }
    findings
}

fn differences(table: &Structure, constant: &Structure) -> Option<Finding> {
    let longest = table.rows.len().max(constant.rows.len());
    let differing = (0..longest).find(|at| table.rows.get(*at) != constant.rows.get(*at))?;
    let shown = |row: Option<&Row>| match row {
        Some((offset, bytes, name)) => format!("`{name}` at {offset}, {bytes} bytes"),
        None => "nothing".into(),
    };
    let (specified, runs) = (shown(table.rows.get(differing)), shown(constant.rows.get(differing)));
    let what = format!("T8: {} has {runs}, but the table under `{}` has {specified}", constant.name, table.name);
    Some(Finding { place: SPEC.into(), line: table.line, what })
}

/// The tables whose first columns are offset, size and field, each under the heading it stands below.
fn tables(spec: &str) -> Vec<Structure> {
    let mut tables: Vec<Structure> = Vec::new();
    let mut heading = String::new();
    let mut inside = false;
    for (at, line) in spec.lines().enumerate() {
        if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim().to_owned();
        }
        let cells = cells(line);
        let columns: Vec<_> = cells.iter().take(3).map(|cell| cell.to_lowercase()).collect();
        if columns == ["offset", "size", "field"] {
            tables.push(Structure { name: heading.clone(), line: at + 1, rows: Vec::new() });
            inside = true;
        } else if cells.len() < 3 {
            inside = false;
        } else if inside && let Some(row) = row(&cells) {
            tables.last_mut().expect("a table was begun").rows.push(row);
        }
    }
    tables
}

fn cells(line: &str) -> Vec<&str> {
    let line = line.trim();
    match line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) {
        Some(inner) => inner.split('|').map(str::trim).collect(),
        None => Vec::new(),
    }
}

/// A row with numbers in its first two cells; the rule below the heading of a table has none.
fn row(cells: &[&str]) -> Option<Row> {
    Some((cells[0].parse().ok()?, cells[1].parse().ok()?, cells[2].trim_matches('`').to_owned()))
}

/// The `[Field; N]` constants: name and width of each field are stated, offsets follow.
fn constants(layout: &str) -> Vec<Structure> {
    let mut constants = Vec::new();
    for (at, line) in layout.lines().enumerate() {
        let Some(declared) = line.trim().strip_prefix("pub const ") else { continue };
        let Some((name, _)) = declared.split_once(": [Field;") else { continue };
        let from_here = layout.lines().skip(at).collect::<Vec<_>>().join("\n");
        let list = from_here.split_once("lay_out([").and_then(|(_, rest)| rest.split_once("])"));
        let mut rows = Vec::new();
        let mut offset = 0;
        for pair in list.map_or("", |(list, _)| list).split('(').skip(1) {
            let Some((name, bytes)) = pair.split_once(',') else { continue };
            let Ok(bytes) = bytes.trim_end_matches([')', ',', ' ', '\n']).trim().parse() else { continue };
            rows.push((offset, bytes, name.trim().trim_matches('"').to_owned()));
            offset += bytes;
        }
        constants.push(Structure { name: name.to_owned(), line: at + 1, rows });
    }
    constants
}

#[cfg(test)]
mod tests {
    use super::{compare, constants, tables};

    const LAYOUT: &str = "\
/// A message.
pub const MESSAGE: [Field; 3] =
    lay_out([(\"crc32\", 4), (\"kind_len\", 4), (\"lsn\", 8)]);
pub const BLOB: [Field; 2] = lay_out([
    (\"hint\", 8),
    (\"n\", 4),
]);
";
    const SPEC: &str = "\
# Format
## Message
| offset | size | field | rule |
|---|---|---|---|
| 0 | 4 | `crc32` | of the rest |
| 4 | 4 | `kind_len` | |
| 8 | 8 | `lsn` | |

## Blob
| Offset | Size | Field |
|--:|--:|---|
| 0 | 8 | hint |
| 8 | 4 | n |

| kind | name | other |
|---|---|---|
| 1 | 2 | inline |
";

    #[track_caller]
    fn finds(spec: &str, layout: &str, what: &str) {
        let findings = compare(&tables(spec), &constants(layout));
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].what.contains(what), "{findings:?}");
    }

    #[test]
    fn equal_descriptions_pass() {
        assert_eq!(compare(&tables(SPEC), &constants(LAYOUT)), []);
        assert_eq!(constants(LAYOUT).len(), 2);
        assert_eq!(tables(SPEC).len(), 2);
    }

    #[test]
    fn each_difference_is_found() {
        finds(&SPEC.replace("| 4 | 4 | `kind", "| 4 | 2 | `kind"), LAYOUT, "`kind_len` at 4, 4 bytes");
        finds(&SPEC.replace("| 8 | 8 | `lsn", "| 9 | 8 | `lsn"), LAYOUT, "`lsn` at 8");
        finds(&SPEC.replace("`lsn`", "`lns`"), LAYOUT, "`lsn`");
        finds(&SPEC.replace("| 8 | 8 | `lsn` | |\n", ""), LAYOUT, "nothing");
        finds(SPEC, &LAYOUT.replace("(\"crc32\", 4)", "(\"crc32\", 8)"), "MESSAGE");
        finds(SPEC, &LAYOUT.replace("(\"lsn\", 8)", "(\"lsn\", 8), (\"epoch\", 4)"), "`epoch` at 16");
    }

    #[test]
    fn missing_sides_are_found() {
        let (message, _) = SPEC.split_once("## Blob").unwrap();
        finds(message, LAYOUT, "no table for BLOB");
        let (message, _) = LAYOUT.split_once("pub const BLOB").unwrap();
        finds(SPEC, message, "table under `Blob`");
        finds("", "", "nothing can be compared");
    }
}
