//! How soon a store opens whose process was killed, and what memory a page takes that is not cached.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Instant,
};

use esker_pages::{Options, PageId, Store, storage::FileStorage};

use crate::{
    Args, Fallible,
    machine::resident_bytes,
    space::temporary,
    table::{Report, Table, met},
};

const PAGES: u64 = 10_000_000;
const CONTENT_BYTES: usize = 100;
const SECONDS_MAX: f64 = 2.0;
const BYTES_MAX: f64 = 32.0;

fn pages(quick: bool) -> u64 {
    if quick { PAGES / 10 } else { PAGES }
}

fn options() -> Options {
    Options::new().cache_bytes(8 << 20)
}

/// The child: writes all pages and some of them again, says so, and waits to be killed.
pub(crate) fn fill_and_wait(dir: &Path, quick: bool) -> Fallible {
    let store = Store::open(Arc::new(FileStorage::open(dir)?), options())?;
    let pages = pages(quick);
    for nth in 0..pages * 11 / 10 {
        let page = PageId::new(nth % pages + 1).expect("not many");
        store.replace(page, store.version(page), &[nth as u8; CONTENT_BYTES])?;
        if nth % 100_000 == 0 {
            store.flush()?;
        }
    }
    store.flush()?;
    println!("done");
    loop {
        std::thread::park();
    }
}

pub(crate) fn run(args: &Args, report: &mut Report) -> Fallible {
    let dir = temporary(args)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--child").arg(dir.path());
    if args.quick {
        command.arg("--quick");
    }
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line)?;
    child.kill()?;
    child.wait()?;
    if line.trim() != "done" {
        return Err(format!("the process that writes said `{}`", line.trim()).into());
    }

    let before = resident_bytes();
    let began = Instant::now();
    let store = Store::open(Arc::new(FileStorage::open(dir.path())?), options())?;
    let seconds = began.elapsed().as_secs_f64();
    let memory = before.zip(resident_bytes()).map(|(before, after)| after.saturating_sub(before));
    let stats = store.stats();
    let pages = pages(args.quick);
    if stats.pages != pages {
        return Err(format!("{} pages are there, not {pages}", stats.pages).into());
    }
    for nth in (0..pages).step_by(9973) {
        let found = store.get(PageId::new(nth + 1).expect("not many"))?.ok_or("a page is not there")?;
        let written = if nth < pages / 10 { pages + nth } else { nth };
        if *found.content != [written as u8; CONTENT_BYTES] {
            return Err(format!("page {nth} is not what was written").into());
        }
    }
    let each = memory.map(|memory| memory as f64 / pages as f64);
    let mut table =
        Table::new(&["pages", "opened in", "at most", "met", "memory a page", "table a page", "at most", "met"]);
    table.row([
        pages.to_string(),
        format!("{seconds:.2} s"),
        format!("{SECONDS_MAX} s"),
        met(seconds <= SECONDS_MAX),
        each.map_or("?".to_owned(), |each| format!("{each:.1} bytes")),
        format!("{:.1} bytes", stats.table_bytes as f64 / pages as f64),
        format!("{BYTES_MAX} bytes"),
        each.map_or("?".to_owned(), |each| met(each <= BYTES_MAX)),
    ]);
    report.table(
        "Opening after SIGKILL, pages of 100 bytes, the file in the page cache; the memory is what the process grew by",
        table,
    );
    Ok(())
}
