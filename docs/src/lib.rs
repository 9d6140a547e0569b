//! The guide to esker, which begins with [README.md](https://docs.rs/esker): here its code blocks are compiled and run, by
//! `cargo test -p esker-docs`. There is no code in this crate.

#![forbid(unsafe_code)]

macro_rules! chapters {
    ($($name:ident = $file:literal),* $(,)?) => {
        $(
            #[cfg(doctest)]
            #[doc = include_str!(concat!("../", $file))]
            struct $name;
        )*
    };
}

chapters! {
    GettingStarted = "getting-started.md",
    Durability = "durability.md",
    Sizing = "sizing.md",
    Recovery = "recovery.md",
    Raft = "raft.md",
    StorageBackend = "storage-backend.md",
    TestingYourStore = "testing-your-store.md",
}
