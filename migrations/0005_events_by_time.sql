-- Serves `rewind --to-time`. BRIN, because times follow positions closely in a log that is only appended to: the index is a
-- few pages for millions of events, and costs an appender next to nothing. A search reads the part of the log since the
-- time, which is what the rewound subscription then reads anyway. autosummarize: nothing else vacuums a log that never
-- changes.
CREATE INDEX events_by_time ON projectionist.events USING brin (recorded_at) WITH (autosummarize = on);
