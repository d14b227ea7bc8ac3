# Runs the PostgreSQL named by the arguments for as long as the host lives.
#
# Standard input is a pipe that only the host holds: it closes when the host stops, drops it or is killed, and then the
# server is asked to end. (A plain child would survive its host; a parent-death signal fires when a thread ends.)
# Standard output is the locked file of the data root: while a shell of ours has it open, nobody else starts a server.
# Standard error is the log.
trap '' HUP TERM
exec 3<&0 </dev/null
"$@" >&2 3<&- &
server=$!
{
    while read -r _ <&3; do :; done
    kill -INT "$server"
} &
watch=$!
exec 3<&-
wait "$server"
status=$?
kill -KILL "$watch" 2>/dev/null
exit "$status"
