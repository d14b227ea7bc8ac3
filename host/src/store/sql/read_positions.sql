SELECT coalesce(pg_catalog.max(p.position) FILTER (WHERE p.position = $1 + p.nth), $1) AS unbroken,
       coalesce(pg_catalog.max(p.position), $1) AS last,
       pg_catalog.count(*) AS found
FROM (
    SELECT {position}::pg_catalog.int8 AS position, pg_catalog.row_number() OVER (ORDER BY {position}) AS nth
    FROM {table} AS e
    WHERE {position} > $1
    ORDER BY {position}
    LIMIT $2
) AS p
