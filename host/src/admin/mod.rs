//! Floor 3: what operators do. Verbs read and write rows; hosts notice, wherever they run.

pub mod import;
pub mod sample;
