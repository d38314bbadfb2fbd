# Runs one rank of a workflow, on its node: FOLDER PYTHON PROGRAM COMMAND...
# A launcher's exit code is not enough: that of srun is 0 where a node was lost. So each rank has a
# note in FOLDER. Until the command has ended it is an empty line, which takes the space on the disk.
note=$1/$(PATH=$PATH:/usr/bin:/bin uname -n).$$ python=$2 program=$3
shift 3
if ! echo > "$note"; then
    echo "socm: $note cannot be written: the command does not run" >&2
    exit 125
fi
exec 3>> "$note"
if "$python" -I -S -c '' 2> /dev/null; then
    # Not among the arguments, which everybody sees in the list of processes.
    export SOCM_RANK="$program"
    exec "$python" -I -S -c 'import os; exec(os.environ.pop("SOCM_RANK"))' "$@"
fi
# Without Python there is no peak of memory. A signal is for the command, not for this shell.
trap : HUP INT TERM USR1 USR2
(exec "$@" 3>&-)
code=$?
echo "$code 0 0" >&3
exit "$code"
