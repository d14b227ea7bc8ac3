SELECT {id}, {stream}, {version}, {recorded_at}, {data}, {metadata}, {causation_id}, {correlation_id}, {tags},
       {position}, {type}
FROM {table} e
WHERE {stream} = $1 AND {version} >= $2 AND {position} <= $3
ORDER BY {version}
LIMIT $4
