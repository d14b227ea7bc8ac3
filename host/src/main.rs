//! The thin binary: the command line is part of the library, where it can be tested.

use std::process::ExitCode;

fn main() -> ExitCode {
    projectionist::cli::main()
}
