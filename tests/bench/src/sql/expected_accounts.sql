SELECT e.data ->> 'account' AS id,
       max(e.data ->> 'owner') FILTER (WHERE e.type = 'AccountOpened') AS owner,
       sum(CASE e.type WHEN 'MoneyDeposited' THEN (e.data ->> 'amount')::bigint
                       WHEN 'MoneyWithdrawn' THEN -(e.data ->> 'amount')::bigint
                       ELSE 0 END)::bigint AS balance,
       NOT bool_or(e.type = 'AccountClosed') AS open,
       max(e.position) AS last_position
FROM projectionist.events e
GROUP BY 1
