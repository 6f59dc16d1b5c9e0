"""Does with FlyteRemote what people do with it, and prints what came of it as one JSON object.

Arguments: the gRPC address of tminus, a file to upload.
"""

import json
import re
import sys
import time
from datetime import timedelta

from flytekit.configuration import Config, PlatformConfig
from flytekit.models.core.execution import WorkflowExecutionPhase as Phase
from flytekit.models.filters import Equal
from flytekit.remote import FlyteRemote
from flytekit.types.file import FlyteFile

endpoint, upload = sys.argv[1:]
remote = FlyteRemote(
    Config(platform=PlatformConfig(endpoint=endpoint, insecure=True)),
    default_project="default",
    default_domain="development",
)
told = {}


def wait(execution):
    return remote.wait(execution, poll_interval=timedelta(seconds=0.2), timeout=timedelta(minutes=5))


def phase(execution):
    return Phase.enum_to_string(execution.closure.phase)


def values(resolver):
    return {name: resolver.get(name) for name in resolver.literals}


# All are started before any is waited for, so that they run side by side.
plan = remote.fetch_launch_plan(name="add_hourly", version="v1")
told["scheduled"] = plan.is_scheduled
told["version of the workflow"] = remote.fetch_workflow(name="shop.till.refusing").id.version
of_plan = remote.execute(plan, inputs={"b": 5}, execution_name_prefix="by-hand")
of_workflow = remote.execute(remote.fetch_workflow(name="shop.till.refusing", version="v1"), inputs={"what": "a cheque"})
of_task = remote.execute(remote.fetch_task(name="shop.till.read", version="v1"), inputs={"receipt": FlyteFile(upload)})
hanging = remote.execute(remote.fetch_launch_plan(name="shop.till.waiting", version="v1"), inputs={"seconds": 600})

done = wait(of_plan)
told["launch plan"] = {"phase": phase(done), "inputs": values(done.inputs), "outputs": values(done.outputs)}
told["named as asked"] = done.id.name.startswith("by-hand")
node = done.node_executions["n0"]
told["node"] = {"inputs": values(node.inputs), "outputs": values(node.outputs), "attempts": len(node.task_executions)}

failed = wait(of_workflow)
message = failed.error.message.strip().splitlines()
told["workflow"] = {"phase": phase(failed), "error": message[-1].strip()}
told["code"] = next(found[1] for line in message if (found := re.search('File "(.*)/shop/till.py"', line)))

told["task"] = {"outputs": values(wait(of_task).outputs)}

while phase(remote.sync_execution(hanging)) != "RUNNING":
    time.sleep(0.1)
remote.terminate(hanging, cause="the shop is shut")
ended = wait(hanging)
told["terminated"] = {"phase": phase(ended), "cause": ended.closure.abort_metadata.cause}

recent = remote.recent_executions(filters=[Equal("phase", "FAILED")])
told["failed of late"] = [x.id.name for x in recent] == [failed.id.name]

print(json.dumps(told))
