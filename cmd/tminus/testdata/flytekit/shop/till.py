"""What a shop takes in, with the types that people use, and what can go wrong."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import List, NamedTuple

from flytekit import CronSchedule, FixedRate, LaunchPlan, task, workflow
from flytekit.types.file import FlyteFile


@dataclass
class Day:
    shop: str
    total: int
    sales: List[int]


Closed = NamedTuple("Closed", day=Day, receipt=FlyteFile, first_line=str)


@task
def count(at: datetime, shop: str, sales: List[int]) -> Day:
    print(f"counting the till of {shop} at {at.isoformat()}")
    return Day(shop=shop, total=sum(sales), sales=sales)


@task
def write(day: Day, at: datetime) -> FlyteFile:
    receipt = Path("receipt.txt")
    receipt.write_text(f"{day.shop} took in {day.total} by {at.isoformat()}\n{len(day.sales)} sales\n")
    return FlyteFile(str(receipt))


@task
def read(receipt: FlyteFile) -> str:
    with open(receipt) as lines:
        return next(lines).strip()


@workflow
def close(at: datetime, shop: str, sales: List[int] = [7, 35]) -> Closed:
    day = count(at=at, shop=shop, sales=sales)
    receipt = write(day=day, at=at)
    return Closed(day=day, receipt=receipt, first_line=read(receipt=receipt))


@task
def add(a: int, b: int) -> int:
    return a + b


@workflow
def adding(a: int, b: int = 2) -> int:
    return add(a=a, b=b)


@task
def refuse(what: str) -> str:
    if what == "a cheque":
        raise ValueError(f"we do not take {what}")
    return what


@workflow
def refusing(what: str) -> str:
    return refuse(what=what)


@task
def wait(seconds: int) -> int:
    time.sleep(seconds)
    return seconds


@workflow
def waiting(seconds: int) -> int:
    return wait(seconds=seconds)


close_daily = LaunchPlan.get_or_create(
    close,
    "close_daily",
    fixed_inputs={"shop": "north"},
    schedule=CronSchedule(schedule="0 18 * * *", kickoff_time_input_arg="at"),
)

add_hourly = LaunchPlan.get_or_create(
    adding,
    "add_hourly",
    default_inputs={"a": 40},
    schedule=FixedRate(duration=timedelta(hours=1)),
)
