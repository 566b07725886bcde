//! Compiles `topics/*.toml` into static tables. A wrong entry fails the build with its file and line;
//! all problems at once.

use std::fmt::Write as _;
use std::path::Path;

#[path = "src/contract/compile/mod.rs"]
mod compile;

fn main() {
    println!("cargo::rerun-if-changed=topics");
    println!("cargo::rerun-if-changed=src/contract/compile");
    let mut files: Vec<_> = std::fs::read_dir("topics")
        .expect("topics/ is beside build.rs")
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "toml"))
        .collect();
    files.sort();
    let mut sources = Vec::new();
    for path in files {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("topics/*.toml is readable");
        sources.push(compile::Source { stem, text });
    }
    match compile::compile(&sources) {
        Ok(tables) => {
            let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
            std::fs::write(Path::new(&out).join("contract.rs"), tables)
                .expect("OUT_DIR is writable");
        }
        Err(problems) => {
            let mut told = String::new();
            for problem in problems {
                let _ = write!(told, "\n{problem}");
            }
            panic!("the contract does not hold:{told}");
        }
    }
}
