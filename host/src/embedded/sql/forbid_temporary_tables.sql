-- Everybody may make temporary tables by default, the roles of guests too. The superuser may still.
REVOKE TEMPORARY ON DATABASE projectionist FROM PUBLIC
