"""Writes what flytekit registers for the workflow below, as protobuf text.

Run with flytekit 1.16 installed: python register.py. The output is checked in:
workflow.txtpb and tasks/*.txtpb here, launch plans in ../../launchplan/testdata.
"""

import dataclasses
import datetime
import enum
import pathlib
import typing
from collections import OrderedDict

from flytekit import ContainerTask, CronSchedule, FixedRate, LaunchPlan, kwtypes, task, workflow
from flytekit.configuration import Image, ImageConfig, SerializationSettings
from flytekit.core.context_manager import FlyteEntities
from flytekit.tools.translator import get_serializable
from google.protobuf import text_format


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Point:
    x: int
    names: typing.List[str]


@task(retries=2, timeout=datetime.timedelta(minutes=5))
def split(a: int, s: str = "x") -> typing.Tuple[int, typing.List[str]]:
    return a, [s]


@task
def paint(
    x: typing.List[str], m: typing.Dict[str, int], c: Color, o: typing.Optional[int] = None
) -> str:
    return ""


@task
def wait(d: datetime.datetime, td: datetime.timedelta, f: float): ...


@task
def point() -> Point:
    return Point(1, ["q"])


@workflow
def double(a: int) -> int:
    r, _ = split(a=a)
    return r


shell = ContainerTask(
    name="shell",
    image="alpine",
    inputs=kwtypes(n=int),
    outputs=kwtypes(z=str),
    command=["sh", "-c", "echo {{.inputs.n}}"],
    input_data_dir="/var/inputs",
    output_data_dir="/var/outputs",
)


@workflow
def report(
    kickoff: datetime.datetime, a: int = 3, f: typing.Optional[float] = None
) -> typing.Tuple[str, int]:
    x, words = split(a=a)
    y = double(a=x)
    pause = wait(d=kickoff, td=datetime.timedelta(seconds=90), f=2.5)
    p = point()
    z = paint(x=["u", "v"], m={"k": x}, c=Color.BLUE)
    paint(x=p.names, m={"q": p.x}, c=Color.RED, o=x)
    pause >> z
    split(a=4, s=words[0])
    shell(n=a)
    return z, y


LaunchPlan.create(
    "nightly",
    report,
    schedule=CronSchedule(schedule="0 3 * * *", kickoff_time_input_arg="kickoff"),
    default_inputs={"a": 9},
)
LaunchPlan.create(
    "rate",
    report,
    schedule=FixedRate(duration=datetime.timedelta(hours=3), kickoff_time_input_arg="kickoff"),
    fixed_inputs={"a": 9},
)
LaunchPlan.create("manual", report)

here = pathlib.Path(__file__).parent
settings = SerializationSettings(
    project="flytesnacks",
    domain="development",
    version="v1",
    image_config=ImageConfig(default_image=Image("default", "alpine", "1")),
)
out = OrderedDict()
for entity in list(FlyteEntities.entities):
    get_serializable(out, settings, entity)
for entity, spec in out.items():
    kind = type(spec).__name__
    name = getattr(entity, "name", "")
    if kind == "TaskSpec":
        path = here / "tasks" / (name + ".txtpb")
    elif kind == "WorkflowSpec" and name.endswith("report"):
        path = here / "workflow.txtpb"
    elif kind == "LaunchPlan":
        path = here / "../../launchplan/testdata" / (name + ".txtpb")
        spec = spec.spec
    else:
        continue
    path.parent.mkdir(exist_ok=True)
    path.write_text(text_format.MessageToString(spec.to_flyte_idl()))
