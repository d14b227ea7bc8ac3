//! No sin: records the events that its filter wants, which uses all that a filter has.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    test_guests::recorder("wants_some_1", "a")
        .filter(
            Clause::types(["Order*", "Paid"])
                .except_types(["OrderSeen", "OrderTest*"])
                .and_streams(["order-*", "legacy"]),
        )
        .filter(Clause::tags(["vip", "region:*"]))
}

export_projector!(projector);
