//! Every input in the fuzzers' corpora, on the stable compiler: what once made a parser fall never does again. Included
//! by the test of each crate that has targets.

use std::fs;
use std::path::Path;

/// One target with its name: that of its corpus.
type Target = (&'static str, fn(&[u8]));

/// Runs each target over its corpus.
pub fn every_corpus(targets: &[Target]) {
    for (name, target) in targets {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
        let mut count = 0;
        for file in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            target(&fs::read(file.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "`{name}` has an empty corpus");
    }
}
