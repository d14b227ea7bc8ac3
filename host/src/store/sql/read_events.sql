SELECT {id}, {stream}, {version}, {recorded_at}, {data}, {metadata}, {causation_id}, {correlation_id}, {tags},
       {position}, {type}
FROM {table} e
WHERE {position} > $1 AND {position} <= $2 AND ({filter})
ORDER BY {position}
LIMIT $3
