SELECT {position}, {id}, {stream}, {version}, {type}, {recorded_at}, {data}, {metadata},
       {causation_id}, {correlation_id}, {tags}
FROM {table} e
WHERE {position} > $1 AND {position} <= $2 AND ({filter})
ORDER BY {position} DESC
LIMIT $3
