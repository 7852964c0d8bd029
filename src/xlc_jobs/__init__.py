"""Bulk work on tables: embed, generate, rank and classify every row, in this process or on a cluster.

Nothing here imports Ray; ``xlc_jobs.ray_data`` and ``xlc_jobs.serve`` do.

Examples:
    >>> import xlc_jobs
    >>> embed = xlc_jobs.Embed("all-minilm-l6-v2", column="text")
    >>> batch = embed({"text": ["a", "b"]})  # a batch of Ray Data, Daft, Spark, Dask, or your own
    >>> xlc_jobs.run_job(embed, "passages.parquet", "vectors/")  # goes on where it was when it is called again
"""

from xlc_jobs.embedding import Embed
from xlc_jobs.folder import JobReport
from xlc_jobs.generation import Classify, Generate
from xlc_jobs.planning import WorkerPlan, plan_workers
from xlc_jobs.ranking import Rerank
from xlc_jobs.running import run_job
from xlc_jobs.worker import Worker

__all__ = [
    "Classify",
    "Embed",
    "Generate",
    "JobReport",
    "Rerank",
    "Worker",
    "WorkerPlan",
    "plan_workers",
    "run_job",
]
