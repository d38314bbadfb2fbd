# Runs socm_job once, where nothing that it does can change this shell, and writes how it ended.
set +o noglob +o noclobber
shopt -u failglob
socm_fail() {
    echo "socm: exit code $1: $2" >&2
    exit "$1"
}
socm_count() {
    local note code kb killed
    socm_begun=0 socm_well=0 socm_peak=0 socm_kills=0
    for note in ranks/*; do
        [ -f "$note" ] && socm_begun=$((socm_begun + 1))
        { read -r && read -r code kb killed; } 2> /dev/null < "$note" || continue
        case "$code.$kb.$killed" in *[!0-9.]* | .* | *. | *..*) continue ;; esac
        [ "$code" = 0 ] && socm_well=$((socm_well + 1))
        socm_peak=$((socm_peak + kb)) socm_kills=$((socm_kills + killed))
    done
}

# Names are relative, so that they stay right if the folder of the run is renamed meanwhile.
cd -- "$socm_folder" || socm_fail 125 "no folder $socm_folder"
socm_began=$(date +%s.%N) socm_node=$(uname -n)
socm_mark="${SLURM_JOB_ID:-$$} $socm_began $socm_node ${SLURM_JOB_NODELIST-}"
if ! (set -o noclobber; echo "$socm_mark" > "$socm_started") 2> /dev/null; then
    socm_fail 125 "this attempt already started, or $socm_started is not writable; it does not run"
fi
# What is said at the end has its space on the disk from the beginning.
printf '%512s\n' '' > "$socm_result.new" || socm_fail 125 "nothing can be written; it does not run"
socm_stopped=
trap 'socm_stopped=143' TERM
(socm_job)
socm_code=$?
trap '' TERM
socm_code=${socm_stopped:-$socm_code}
socm_count
# On a shared disk, notes of other nodes may come late.
SECONDS=0
while ((socm_code == 0 && socm_well < socm_ranks && SECONDS < socm_patience)); do
    sleep 2
    socm_count
done
printf '%-512s\n' "{\"exit_code\": $socm_code, \"start\": $socm_began, \"end\": $(date +%s.%N), \
\"node\": \"$socm_node\", \"peak_kb\": $socm_peak, \"memory_kills\": $socm_kills, \
\"ranks_begun\": $socm_begun, \"ranks_well\": $socm_well}" 1<> "$socm_result.new" &&
    mv -f -- "$socm_result.new" "$socm_result"
((socm_code == 0 && socm_well < socm_ranks)) && exit 1
exit "$socm_code"
