//! Sin: `setup` makes a table and then fails.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("fails_in_setup_1").setup(fail).on_any(|| ())
}

fn fail(sql: Sql) -> Result {
    sql.execute("CREATE TABLE left_behind (id bigint PRIMARY KEY)", &[])?;
    Err(Failure::stop("setup does not want to"))
}

export_projector!(projector);
