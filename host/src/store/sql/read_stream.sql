SELECT {position}, {id}, {stream}, {version}, {type}, {recorded_at}, {data}, {metadata},
       {causation_id}, {correlation_id}, {tags}
FROM {table} e
WHERE {stream} = $1 AND {version} >= $2 AND {position} <= $3
ORDER BY {version}
LIMIT $4
