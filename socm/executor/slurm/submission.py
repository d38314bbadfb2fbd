"""PSI/J's part: it describes and submits jobs.

PSI/J 0.9.11 reports a job missing from squeue as completed, and a controller that does not answer
as the end of all jobs; its script always ends with 0. So its script, its polling thread and its
commands are replaced by ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import psij
from psij.executors.batch.slurm import SlurmExecutorConfig, SlurmJobExecutor

from socm.executor.slurm.answers import submitted_id
from socm.executor.slurm.jobs import Slurm


class Submission(SlurmJobExecutor):
    """Submits scripts to SLURM.

    Parameters
    ----------
    run
        Folder of the run.
    slurm
        The SLURM to submit to.
    """

    _NAME_ = "slurm"  # PSI/J gives it to the executors that it knows
    _VERSION_ = "0.0.2"

    def __init__(self, run: Path, slurm: Slurm) -> None:
        super().__init__(config=SlurmExecutorConfig(work_directory=run / "psij"))
        self._slurm = slurm
        self._scripts: dict[str, Path] = {}

    def submit_script(self, name: str, script: Path) -> str:
        """Submit the script of a job; return the native id.

        Raises
        ------
        BackendUnavailable
            If there was no answer: SLURM may have accepted the job.
        SubmitError
            If it was refused.
        """
        job = psij.Job(psij.JobSpec(name=name, executable="/bin/bash", launcher="single"))
        self._scripts[job.id] = script
        try:
            self.submit(job)
        finally:
            del self._scripts[job.id]
        return str(job.native_id)

    def _start_queue_poll_thread(self) -> Any:
        class Nobody:
            def register_job(self, job: psij.Job) -> None:
                """Our tracker follows the jobs."""

        return Nobody()

    def _run_command(self, command: list[str]) -> str:
        return self._slurm.sbatch(*command[1:])

    def generate_submit_script(
        self, job: psij.Job, context: dict[str, object], submit_file: IO[str]
    ) -> None:
        """Write nothing: the script exists."""

    def get_submit_command(self, job: psij.Job, submit_file_path: Path) -> list[str]:
        """Return the command that submits the script."""
        submit_file_path.unlink()
        return ["sbatch", "--parsable", str(self._scripts[job.id])]

    def job_id_from_submit_output(self, out: str) -> str:
        """Return the id in what sbatch printed."""
        return submitted_id(out)
