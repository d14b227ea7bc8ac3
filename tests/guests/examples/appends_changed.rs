//! No sin: `appends` under the same id, which says another group and wants more events.

use projectionist_sdk::prelude::*;

fn processor() -> Processor {
    Processor::new("appends")
        .group("crm")
        .on("Command", test_guests::answer)
        .on("Order*", test_guests::answer)
}

export_processor!(processor);
