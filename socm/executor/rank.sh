# Runs one rank of a workflow, on its node: FOLDER PYTHON PROGRAM COMMAND...
# A launcher's exit code is not enough: that of srun is 0 where a node was lost. So each rank has a
# note in FOLDER. It is empty until the command has ended; only its space on the disk is taken.
note=$1/$(PATH=$PATH:/usr/bin:/bin uname -n).$$ python=$2 program=$3
shift 3
if ! printf '%40s\n' '' > "$note"; then
    echo "socm: $note cannot be written: the command does not run" >&2
    exit 125
fi
if "$python" -I -S -c '' 2> /dev/null; then
    exec "$python" -I -S -c "$program" "$note" "$@"
fi
# Without Python there is no peak of memory. A signal is for the command, not for this shell.
trap : HUP INT TERM USR1 USR2
(exec "$@")
code=$?
printf '%-40s\n' "$code 0 0" 1<> "$note"
exit "$code"
