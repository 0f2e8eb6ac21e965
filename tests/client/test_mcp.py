"""`mecapy mcp`, spoken to by the protocol's own client over standard input and output."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mecapy_jupyter import wire

from ..backend.speak import Worker, client

if importlib.util.find_spec("mcp") is None:
    pytest.skip("needs mcp (the extra `mcp`)", allow_module_level=True)

Speak = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture
def speak(gateway: Any, tmp_path: Path) -> Speak:
    """Starts the command with a token and options, and is its client."""
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    @asynccontextmanager
    async def spoken(token: str, *options: str) -> AsyncIterator[ClientSession]:
        command = StdioServerParameters(
            command=sys.executable,
            args=["-m", "mecapy_jupyter.cli", "mcp", *options],
            env=dict(os.environ)
            | {"MECAPY_URL": gateway.url, "MECAPY_TOKEN": token, "XDG_CONFIG_HOME": str(tmp_path)},
        )
        async with stdio_client(command) as streams, ClientSession(*streams) as session:
            await session.initialize()
            yield session

    return spoken


def own_token(gateway: Any) -> str:
    with client(gateway) as http:
        made = http.post("/tokens", json={"name": "agent", "scopes": ["read", "tasks"]})
        return made.json()["token"]


async def asked(session: Any, tool: str, **arguments: Any) -> Any:
    """What a tool answers; an AssertionError with its text where it refuses."""
    answer = await session.call_tool(tool, arguments)
    text = "\n".join(part.text for part in answer.content)
    assert not answer.is_error, text
    return text if tool == "logs" else json.loads(text)


async def test_an_agent_reads(gateway: Any, speak: Speak) -> None:
    """Without --allow-submit there are five tools, which read: state, output and result."""
    with client(gateway) as http:
        task = http.post("/tasks", json={"code": "6 * 7", "name": "answer"}).json()["task_id"]
    async with Worker(gateway) as worker, speak(gateway.token) as session:
        tools = {tool.name for tool in (await session.list_tools()).tools}
        assert tools == {"status", "tasks", "task", "logs", "result"}
        assert (await asked(session, "status"))["queued"] == 1
        assert (await asked(session, "tasks", state="queued"))["name"] == "answer"
        await worker.start(task)
        await worker.says(task, wire.StdoutEvent("working\n"))
        assert await asked(session, "logs", task_id=task[:8]) == "working\n"
        with pytest.raises(AssertionError, match="is running"):
            await asked(session, "result", task_id=task)
        await worker.finish(task, wire.Outcome(wire.COMPLETED, result=42, seconds=0.1))
        assert (await asked(session, "task", task_id=task))["status"] == "completed"
        assert (await asked(session, "result", task_id=task))["result"] == 42
        assert (await session.call_tool("submit", {"code": "1"})).is_error


async def test_an_agent_runs_code_within_its_ceiling(gateway: Any, speak: Speak) -> None:
    """With --allow-submit and a token of its own it submits so many tasks and no more, and cancels
    only those.
    """
    with client(gateway) as http:
        mine = http.post("/tasks", json={"code": "1"}).json()["task_id"]
    async with speak(own_token(gateway), "--allow-submit", "--max-tasks", "1") as session:
        made = await asked(session, "submit", code="a + 1", inputs={"a": 1}, timeout_s=60)
        with client(gateway) as http:
            request = http.get(f"/tasks/{made['task_id']}/request").json()
        assert (request["code"], request["inputs"], request["timeout"]) == ("a + 1", {"a": 1}, 60)
        with pytest.raises(AssertionError, match="may submit 1 tasks"):
            await asked(session, "submit", code="2")
        with pytest.raises(AssertionError, match="only what it has submitted"):
            await asked(session, "cancel", task_id=mine)
        assert (await asked(session, "cancel", task_id=made["task_id"]))["status"] == "cancelled"


async def test_many_calls_at_once(gateway: Any, speak: Speak) -> None:
    """Ten calls at the same time make as many tasks as the ceiling allows."""
    async with speak(own_token(gateway), "--allow-submit", "--max-tasks", "3") as session:
        calls = [session.call_tool("submit", {"code": str(number)}) for number in range(10)]
        answers = await asyncio.gather(*calls)
        refused = [one.content[0].text for one in answers if one.is_error]
        assert len(refused) == 7 and all("may submit 3 tasks" in text for text in refused)
        with client(gateway) as http:
            assert len(http.get("/tasks").json()["tasks"]) == 3


def test_a_user_s_own_token_runs_nothing_for_an_agent(
    gateway: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--allow-submit refuses a token that may do more than run tasks."""
    from mecapy_jupyter import cli

    monkeypatch.setenv("MECAPY_URL", gateway.url)
    monkeypatch.setenv("MECAPY_TOKEN", gateway.token)
    assert cli.main(["mcp", "--allow-submit"]) == 1
    assert "a token of its own" in capsys.readouterr().err


def test_what_an_agent_may_spend(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ended counts what it cost, the others what they would until their timeout; what goes
    beyond is cancelled.
    """
    from mecapy_jupyter.commands import mcp_server
    from mecapy_jupyter.shared import errors

    states = {"a": wire.TaskStatus("a", wire.COMPLETED, cost=0.25)}
    cancelled, made = list[str](), iter(["b", "c"])

    class Priced:
        def post(self, path: str, body: Any, key: str = "") -> Any:
            task_id = next(made)
            states[task_id] = wire.TaskStatus(task_id, wire.QUEUED, machine_class="gpu")
            return {"task_id": task_id}

    monkeypatch.setattr(mcp_server.gateway_api, "task", lambda _, task_id: states[task_id])
    monkeypatch.setattr(
        mcp_server.gateway_api, "cancel", lambda _, task_id: cancelled.append(task_id)
    )
    classes = wire.MachinesInfo((wire.ClassInfo("gpu", price=2.0), wire.ClassInfo("pool")))
    monkeypatch.setattr(mcp_server.gateway_api, "machines", lambda _: classes)
    tools = mcp_server.SubmittingTools(Priced(), mcp_server.Ceiling(10, 1.0))
    tools._timeouts["a"] = 7200.0
    assert tools.submit("1", timeout_s=900.0)["task_id"] == "b"
    with pytest.raises(errors.Refused, match=r"could cost €1\.25"):
        tools.submit("1", timeout_s=900.0)
    assert cancelled == ["c"]
