-- Where all of that is known, as of a guest that comes back after another one, nothing is written, and nobody waits for the disk.
WITH noted AS (
    UPDATE projectionist.modules SET imports = $2, compile_ms = coalesce(compile_ms, $3)
    WHERE digest = $1 AND (compile_ms IS NULL OR imports IS DISTINCT FROM $2)
)
SELECT EXISTS (SELECT FROM projectionist.modules WHERE digest = $1)
