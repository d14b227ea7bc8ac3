-- What lines ask for follows from these rows alone. Very many are looked at every second, and hardly ever has one changed.
SELECT pg_catalog.concat_ws(' ',
    (SELECT pg_catalog.sum(pg_catalog.hashtextextended(s.id || ' ' || s.xmin::text, 0)) FROM projectionist.subscriptions s),
    (SELECT pg_catalog.sum(pg_catalog.hashtextextended(l.line || ' ' || l.xmin::text, 0)) FROM projectionist.lines l))
